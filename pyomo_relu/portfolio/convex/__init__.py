"""Models whose functions are convex where they matter: tangents, and trees of LPs over them."""

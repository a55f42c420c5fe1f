"""What a model is taken apart into, and least values of its parts proven in batches."""

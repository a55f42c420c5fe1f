"""Other packages' routes on our models: their own encodings of the same networks."""

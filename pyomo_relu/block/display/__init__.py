"""What a network block prints and shows."""

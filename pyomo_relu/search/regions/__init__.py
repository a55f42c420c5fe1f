"""Linear programmes over linear regions of networks."""

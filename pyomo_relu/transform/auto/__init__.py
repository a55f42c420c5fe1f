"""relu.auto: what it picks, and how it says so."""

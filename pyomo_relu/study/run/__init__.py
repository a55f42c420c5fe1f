"""A run of the study: its grid, its cases, who works them off, records and tables."""

"""What transformations leave on network blocks and Vars, kept so that it can be undone."""

"""Networks as linear models: relaxations, MILPs, cuts."""

"""What the modeller's Pyomo model says around the networks."""

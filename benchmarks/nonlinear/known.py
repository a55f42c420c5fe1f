"""Optimal values, to 1e-4, and how they are known."""

_OURS = "relu.branch proves it"

#: name -> (value, how it is known)
KNOWN = {
    "closest_4": (1.027331, _OURS),
    "acquisition_2": (-8.068432, "relu.branch and Gurobi (big-M, products) prove it"),
    "chain_4_effort": (-0.680290, "Gurobi (big-M, products) proves it"),
    "mpc_20": (2.683972, "best known"),
    "reactor_recycle": (26.35565, _OURS),
    "reformer_bilinear": (31.7167, "Gurobi and SCIP agree; grid 31.710"),
    "reformer_exp": (16.68815, "Gurobi and SCIP agree; grid 16.681"),
    "cstr": (25.1762, "Gurobi, four encodings agree to 2e-6"),
    "mixing_2x25": (-6.652711, "SCIP with relu.bigm"),
    "mixing_3x25": (-6.570419, "SCIP with relu.bigm"),
    "mixing_5x25": (-6.66060, "relu.branch proves it to 1e-4"),
}

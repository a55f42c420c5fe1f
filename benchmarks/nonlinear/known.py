"""Optimal values, to 1e-4, and how they are known."""

_OURS = "relu.branch prove it to 1e-4"

#: name -> (value, how it is known)
KNOWN = {
    "closest_4": (1.027326, f"Gurobi, three encodings agree; SCIP and {_OURS}"),
    "acquisition_2": (-8.068432, f"Gurobi, three encodings agree; SCIP and {_OURS}"),
    "chain_4_effort": (-0.680290, f"SCIP, Gurobi and {_OURS}"),
    "mpc_20": (
        2.683972,
        "relu proves it to 1e-4; SCIP has the point and the bound 2.27 after 60 s",
    ),
    "reactor_recycle": (
        26.35637,
        "Gurobi, three encodings agree to 1e-4; relu.branch proves it",
    ),
    "reformer_bilinear": (31.7167, "Gurobi and SCIP agree; grid 31.710"),
    "reformer_exp": (16.68815, "Gurobi and SCIP agree; grid 16.681"),
    "cstr": (25.1762, "Gurobi, four encodings agree to 2e-6"),
    "mixing_2x25": (-6.652711, "SCIP with relu.bigm"),
    "mixing_3x25": (-6.570419, "SCIP with relu.bigm"),
    "mixing_5x25": (
        -6.66060,
        "relu.branch proves it to 1e-4; SCIP has the bound -6.76 after 60 s",
    ),
}

"""Problems and timing runs that compare formulations.

Run its parts as modules from the repository's root, for example
``python -m examples.benchmarks.oil_well_plan FOLDER``.
"""

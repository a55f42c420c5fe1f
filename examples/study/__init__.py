"""The study: benchmark problems, training, and the runs that compare formulations.

Run its parts as modules from the repository's root, for example
``python -m examples.study.train_networks``.
"""

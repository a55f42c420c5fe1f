"""The study: benchmark problems, training, and the runs that compare formulations.

``python -m pyomo_relu study --quick`` runs it; it needs the extra ``study``.
"""

"""How much a modeller loses by a choice of route: 20 models, every route, one table.

``python -m benchmarks.regret``; see README.md beside it.
"""

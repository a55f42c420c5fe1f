"""Hundreds of surrogates that rows couple: decomposition beside MILPs, one table.

``python -m benchmarks.coupled``; see README.md beside it.
"""

"""The search methods: starts, descent, projections, small MILPs."""

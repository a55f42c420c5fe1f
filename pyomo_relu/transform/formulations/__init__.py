"""The formulations: how an activation is written as rows."""

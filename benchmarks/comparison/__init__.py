"""What sets of models share: runs of routes, checks of answers, tables, command line."""

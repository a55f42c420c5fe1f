"""relu.cells: the input box in cells, with linear bounds or exact pieces on each."""

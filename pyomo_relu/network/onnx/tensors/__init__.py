"""What flows through a graph that is read: affine tensors, and those with kinks."""

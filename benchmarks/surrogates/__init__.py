"""The paper's surrogates: one network minimised over its box, and several coupled."""

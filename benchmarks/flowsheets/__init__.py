"""Process flowsheets around trained surrogates, linear and nonlinear."""

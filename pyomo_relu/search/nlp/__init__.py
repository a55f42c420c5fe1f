"""Points polished by an NLP solver of the user's."""

"""The report of a run: its text, its pictures, the files written."""

"""Published verification instances: verdicts, and seconds beside published ones."""

"""What the literature claims beside what a run measured, claim by claim."""

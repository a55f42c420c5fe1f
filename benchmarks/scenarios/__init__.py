"""Many scenarios' networks on shared inputs, and many networks joined by one row."""

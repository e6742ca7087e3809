"""What the changes would do to the rows that are there."""

"""What each backend reads and writes."""

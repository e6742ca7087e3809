"""What a run does to a real database, one file an object kind."""

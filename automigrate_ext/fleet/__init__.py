"""Runs over many targets: schemas, databases and shards that have the same models."""

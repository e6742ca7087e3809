"""Tests of what the models declare."""

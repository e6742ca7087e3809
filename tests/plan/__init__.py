"""Tests of plans as values and as text."""

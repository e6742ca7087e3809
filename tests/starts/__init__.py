"""Tests of the other starts of a run."""

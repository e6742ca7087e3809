"""Tests of what else starts a run."""

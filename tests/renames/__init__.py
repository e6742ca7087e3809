"""Tests of renames."""

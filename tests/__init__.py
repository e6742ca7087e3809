"""Tests of automigrate_ext."""

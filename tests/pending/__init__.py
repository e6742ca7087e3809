"""Tests of the pending page."""

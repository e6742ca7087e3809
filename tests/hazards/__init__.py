"""Tests of what changes do to rows."""

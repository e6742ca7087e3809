"""Tests of the declarations of models."""

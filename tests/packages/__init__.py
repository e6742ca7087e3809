"""Packages of other people, each in a project of its own."""

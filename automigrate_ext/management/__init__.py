"""The commands, and what they print and ask at a terminal."""

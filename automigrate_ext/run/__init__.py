"""One run: look, judge, carry out, look again."""

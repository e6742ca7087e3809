"""Other starts of a run: the first query of a model, and the comparison in Django's system checks."""

"""Who else starts a run: the first query of a model, and Django's system checks."""

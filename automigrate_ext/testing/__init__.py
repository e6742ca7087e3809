"""For tests: test databases made from the models, and tables of models that only a test has."""

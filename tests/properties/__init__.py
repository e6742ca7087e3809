"""What holds for any pair of models, tried on random ones."""

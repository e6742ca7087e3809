"""What the models declare; nothing is executed."""

"""The declarations of the models, as models to select and as SQL; nothing is executed."""

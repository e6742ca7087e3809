"""What had another name: asked for, hinted at, guessed."""

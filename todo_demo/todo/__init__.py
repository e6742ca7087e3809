"""The app with the models of the TodoList example."""

"""A Django project to try automigrate_ext on: the TodoList example of LoopBack."""

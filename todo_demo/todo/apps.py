"""Configuration of the app ``todo``."""

from django.apps import AppConfig


class TodoConfig(AppConfig):
    """The app, under the label ``todo``."""

    name = "todo_demo.todo"
    label = "todo"
    verbose_name = "to-do lists"

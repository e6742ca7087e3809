"""Models of the TodoList example: to-dos, lists of them, and an image for a list."""

from django.db import models

from automigrate_ext.managers import AutoUpdateManager


class TodoList(models.Model):
    """A list of to-dos."""

    title = models.CharField(max_length=200)
    color = models.CharField("colour", max_length=50, blank=True)

    class Meta:
        ordering = ("title", "pk")
        verbose_name = "to-do list"
        verbose_name_plural = "to-do lists"

    def __str__(self) -> str:
        return self.title


class Todo(models.Model):
    """A thing to do, on a list or on its own."""

    title = models.CharField(max_length=200)
    desc = models.TextField("description", blank=True)
    is_complete = models.BooleanField("complete", default=False)
    todo_list = models.ForeignKey(
        TodoList,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="todos",
        verbose_name="list",
    )

    class Meta:
        ordering = ("is_complete", "title", "pk")
        verbose_name = "to-do"
        verbose_name_plural = "to-dos"

    def __str__(self) -> str:
        return self.title


class TodoListImage(models.Model):
    """The image of a list, as an address or a data URL."""

    value = models.TextField()
    todo_list = models.OneToOneField(
        TodoList,
        on_delete=models.CASCADE,
        related_name="image",
        verbose_name="list",
    )

    # The first query of the process brings this table up to date, wherever it comes from.
    objects = AutoUpdateManager()

    class Meta:
        ordering = ("todo_list",)
        verbose_name = "image of a to-do list"
        verbose_name_plural = "images of to-do lists"

    def __str__(self) -> str:
        return f"Image of {self.todo_list}"

"""The TodoList example in the admin: a list is edited together with its to-dos and its image."""

from django.contrib import admin

from todo_demo.todo.models import Todo, TodoList, TodoListImage


class TodoInline(admin.TabularInline):
    model = Todo
    extra = 1


class TodoListImageInline(admin.StackedInline):
    model = TodoListImage


@admin.register(TodoList)
class TodoListAdmin(admin.ModelAdmin):
    list_display = ("title", "color")
    search_fields = ("title",)
    inlines = (TodoInline, TodoListImageInline)


@admin.register(Todo)
class TodoAdmin(admin.ModelAdmin):
    list_display = ("title", "is_complete", "todo_list")
    list_filter = ("is_complete", "todo_list")
    search_fields = ("title", "desc")


@admin.register(TodoListImage)
class TodoListImageAdmin(admin.ModelAdmin):
    list_display = ("todo_list",)

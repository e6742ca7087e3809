"""The page of the lists: what is to do, and forms that add, tick and delete."""

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from todo_demo.todo.models import Todo, TodoList


@require_safe
def index(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """One list, or without a key the to-dos that are on none."""
    open_todos = Count("todos", filter=Q(todos__is_complete=False))
    chosen = get_object_or_404(TodoList, pk=pk) if pk else None
    context = {
        "lists": TodoList.objects.annotate(open=open_todos),
        "inbox": Todo.objects.filter(todo_list=None, is_complete=False).count(),
        "chosen": chosen,
        "todos": Todo.objects.filter(todo_list=chosen),
    }
    return render(request, "todo/index.html", context)


@require_POST
def add_list(request: HttpRequest) -> HttpResponse:
    title = request.POST.get("title", "").strip()[:200]
    return redirect("list", TodoList.objects.create(title=title).pk) if title else redirect("index")


@require_POST
def delete_list(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(TodoList, pk=pk).delete()
    return redirect("index")


@require_POST
def add(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Add a to-do to a list, or without a key to none."""
    chosen = get_object_or_404(TodoList, pk=pk) if pk else None
    title = request.POST.get("title", "").strip()[:200]
    if title:
        Todo.objects.create(title=title, todo_list=chosen)
    return redirect(page_of(chosen))


@require_POST
def tick(request: HttpRequest, pk: int) -> HttpResponse:
    """Mark a to-do as complete, or as open again."""
    todo = get_object_or_404(Todo, pk=pk)
    todo.is_complete = not todo.is_complete
    todo.save(update_fields=["is_complete"])
    return redirect(page_of(todo.todo_list))


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    todo = get_object_or_404(Todo, pk=pk)
    todo.delete()
    return redirect(page_of(todo.todo_list))


def page_of(chosen: TodoList | None) -> str:
    """The address at which a list, or what is on none, is seen."""
    return reverse("list", args=[chosen.pk]) if chosen else reverse("index")

"""Addresses of the demo project: the lists and the admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("todo_demo.todo.urls")),
    path("admin/", admin.site.urls),
]

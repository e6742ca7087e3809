"""Addresses of the lists."""

from django.urls import path

from todo_demo.todo import views

urlpatterns = [
    path("", views.index, name="index"),
    path("add/", views.add, name="add"),
    path("lists/add/", views.add_list, name="add-list"),
    path("lists/<int:pk>/", views.index, name="list"),
    path("lists/<int:pk>/add/", views.add, name="add-to-list"),
    path("lists/<int:pk>/delete/", views.delete_list, name="delete-list"),
    path("todos/<int:pk>/tick/", views.tick, name="tick"),
    path("todos/<int:pk>/delete/", views.delete, name="delete"),
]

"""Servers as processes of their own, in front of the demo project with settings of the test."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

ROOT = Path(__file__).parent.parent

SETTINGS = """
import json, os
from todo_demo.settings import *
AUTOMIGRATE = json.loads(os.environ["AUTOMIGRATE"])
DEBUG = os.environ["DEBUG"] == "1"
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = [name for name in MIDDLEWARE if "PendingPage" not in name]
ROOT_URLCONF = "started.urls"
WSGI_APPLICATION = "started.wsgi.application"
LOGGING = {
    "version": 1,
    "formatters": {"pid": {"format": "{process} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "pid"}},
    "loggers": {"automigrate_ext": {"handlers": ["stderr"], "level": "INFO"}},
}
"""

#: Says which process answers, and takes its time, so that several requests at once reach several workers.
URLS = """
import os, time
from django.http import HttpResponse
from django.urls import path
from todo_demo.todo.models import Todo
def view(request):
    time.sleep(0.1)
    return HttpResponse(f"{os.getpid()} {Todo.objects.count()}")
urlpatterns = [path("", view)]
"""
APPLICATION = "from django.core.{kind} import get_{kind}_application\napplication = get_{kind}_application()\n"

SERVERS = {
    "gunicorn": ("gunicorn", "--no-control-socket", "--bind=127.0.0.1:{port}", "started.wsgi"),
    "uvicorn": ("uvicorn", "--loop=asyncio", "--port={port}", "started.asgi:application"),
    "runserver": ("django", "runserver", "{port}"),
}


class Project:
    """A directory with the settings, and what processes need to find them."""

    def __init__(self, directory: Path, connection: BaseDatabaseWrapper, database_url: str) -> None:
        self.directory = directory
        self.connection = connection
        package = directory / "started"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "settings.py").write_text(SETTINGS)
        (package / "urls.py").write_text(URLS)
        for kind in ("wsgi", "asgi"):
            (package / f"{kind}.py").write_text(APPLICATION.format(kind=kind))
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "DJANGO_SETTINGS_MODULE": "started.settings",
            "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)]),
            "PYTHONDEVMODE": "",
        }

    def start(self, *command: str, debug: bool = True, **setting: object) -> "subprocess.Popen[str]":
        """Start a Python program by its module; it can be killed with all its children, and its output is one."""
        variables = {"AUTOMIGRATE": json.dumps(setting), "DEBUG": str(int(debug))}
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**self.environment, **variables},
            cwd=self.directory,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def fails(self, server: str, *options: str, **setting: object) -> tuple[int, str]:
        """Start a server that gives up by itself; its exit status and what it said."""
        port = free_port()
        process = self.start(*(word.format(port=port) for word in (*SERVERS[server], *options)), **setting)
        return finish(process)

    @contextlib.contextmanager
    def serving(self, server: str, *options: str, **setting: object) -> Iterator["Serving"]:
        """A server that runs."""
        port = free_port()
        process = self.start(*(word.format(port=port) for word in (*SERVERS[server], *options)), **setting)
        found = Serving(process, port)
        try:
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            found.status, found.output = finish(process)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for a process; it and its children are killed where they do not end."""
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Serving:
    """A server that runs; its output and exit status are known once it has ended."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.port = port
        self.status = 0
        self.output = ""

    def get(self) -> tuple[int, str]:
        """The status and text of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", "/", headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def await_answer(self, seconds: float = 120) -> tuple[int, str]:
        """The first answer."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.get()
            except ConnectionError:
                assert self.process.poll() is None and time.monotonic() < deadline, "it does not serve"
                time.sleep(0.05)

    def workers(self, number: int) -> set[str]:
        """The answers of so many workers, each after its process."""
        found: set[str] = set()
        self.await_answer()
        deadline = time.monotonic() + 120
        with ThreadPoolExecutor(max_workers=number) as pool:
            while len(found) < number:
                assert time.monotonic() < deadline, f"only {found} answer"
                for status, text in pool.map(lambda _: self.get(), range(number)):
                    assert status == 200, text
                    found.add(text)
        return found

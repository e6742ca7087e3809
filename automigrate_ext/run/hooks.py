"""Hooks for what models cannot declare: the SQL files and functions of AUTOMIGRATE["BEFORE"] and ["AFTER"]."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.utils import Error
from django.utils.module_loading import import_string

from automigrate_ext import conf
from automigrate_ext.exceptions import AutomigrateError, ExecutionFailed

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend

SQL_SUFFIX = ".sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One entry: `key` is the list that it is in, `name` the entry as it is written.

    `text` is that of the file or of the function's definition; the entry is run again when it changes.
    """

    key: str
    name: str
    text: str
    function: Callable[..., object] | None = None

    @property
    def label(self) -> str:
        """The name of the entry in messages."""
        return f'AUTOMIGRATE["{self.key}"]: {self.name}'

    @property
    def identity(self) -> str:
        """The name of the entry in the record."""
        return f"{self.key} {self.name}"

    @property
    def digest(self) -> str:
        """A short text that differs when the text does."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def statement(self, alias: str) -> str:
        """Return the statement that a plan shows: the file's text, or a comment in the place of a function."""
        if self.function is None:
            return as_statement(self.text)
        return f"-- Call {self.name}(using={alias!r})"

    def run(self, backend: Backend) -> None:
        """Run the entry. Errors of the database get a note that names the entry; others become `ExecutionFailed`."""
        try:
            with backend.session.code_of_others(self.label):
                if self.function is None:
                    backend.run_script(self.text)
                else:
                    self.function(using=backend.connection.alias)
        except Error as error:
            error.add_note(f"In {self.label}")
            raise
        except AutomigrateError:
            raise
        except Exception as error:
            raise ExecutionFailed(
                f"{self.label} raised {type(error).__name__}: {error}. The run failed, and was undone where the "
                f"database can undo it."
            ) from error


def as_statement(text: str) -> str:
    """Return a file's text so that more can be appended: a comment in its last line has to end there."""
    text = text.strip()
    last = text.rpartition("\n")[2]
    return f"{text}\n;" if "--" in last or "#" in last else text


def load(key: str, alias: str) -> tuple[Hook, ...]:
    """Load the entries of one list for a database.

    Raises `AutomigrateError` for a list that is malformed, a file that cannot be read, or a function that does not
    exist or does not take `using`.
    """
    malformed = list(conf.list_problems())
    if malformed:
        raise AutomigrateError(" ".join([*malformed, "Nothing was done."]))
    return tuple(load_entry(key, os.fspath(entry)) for entry in conf.entries(key, alias))


def load_entry(key: str, name: str) -> Hook:
    """Load one entry: a name that ends in .sql is a file, any other a dotted path. Raises `AutomigrateError`."""
    try:
        if name.endswith(SQL_SUFFIX):
            return Hook(key=key, name=name, text=path_of(name).read_text(encoding="utf-8-sig"))
        function = import_string(name)
        inspect.signature(function).bind(using="")
        return Hook(key=key, name=name, text=source_of(function, name), function=function)
    except (OSError, UnicodeDecodeError, ImportError, TypeError, ValueError) as error:
        way_out = "" if name.endswith(SQL_SUFFIX) else " An entry is a file that ends in .sql, or the dotted path of a "
        way_out += "" if name.endswith(SQL_SUFFIX) else "function that takes the argument using."
        raise AutomigrateError(
            f'AUTOMIGRATE["{key}"]: {name} cannot be used: {error}.{way_out} Nothing was done.'
        ) from error


def path_of(name: str) -> Path:
    """Return the path of a file, relative to BASE_DIR. Raises `ValueError` where that setting is needed and missing."""
    path = Path(name)
    if path.is_absolute():
        return path
    base = getattr(settings, "BASE_DIR", None)
    if base is None:
        raise ValueError("a relative path counts from the setting BASE_DIR, which is not there")
    return Path(base) / path


def source_of(function: Any, name: str) -> str:
    """Return the source of a function's definition, or its name where Python does not have the source."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return name


def changed(hooks: Iterable[Hook], digests: Mapping[str, str]) -> tuple[Hook, ...]:
    """Return the hooks that have never been run with their current text."""
    return tuple(hook for hook in hooks if digests.get(hook.identity) != hook.digest)

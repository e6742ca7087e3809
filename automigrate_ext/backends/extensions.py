"""Extensions of the database, such as PostgreSQL's, that fields, indexes and constraints need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Model

from automigrate_ext.backends.session import RunSession


class Extensions:
    """The extensions of one database; by default there are none."""

    def __init__(self, session: RunSession) -> None:
        self.connection = session.connection
        self.session = session

    def needed(self, models: Iterable[type[Model]]) -> Mapping[str, str]:
        """Return the extensions that the models' fields, indexes and constraints need, each with what needs it."""
        return {}

    def missing(self, wanted: Mapping[str, str]) -> tuple[str, ...]:
        """Return those of the extensions that the database does not have.

        `wanted` maps names to what needs them. Raises `AutomigrateError` for one that the server cannot create.
        """
        return ()

    def create_statement(self, name: str) -> str:
        """Return the statement that creates an extension."""
        raise NotImplementedError

    def create(self, names: Sequence[str]) -> None:
        """Create the extensions. Raises `ExecutionFailed` where the role may not."""
        for name in names:
            self.session.execute(self.create_statement(name))

    def register_types(self) -> None:
        """Let the connection convert the values of types that extensions have brought."""

    def forget_types(self) -> None:
        """Forget the types of extensions that a run brought which was undone."""

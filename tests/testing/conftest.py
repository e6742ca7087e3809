"""The generated project, written once a session, and a copy of it for each test on each database."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import DATABASES
from tests.databases import Server
from tests.testing.project import Project, generate


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the project as it is generated."""
    return generate(tmp_path_factory.mktemp("generated"))


@pytest.fixture
def directory(generated: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(generated, tmp_path / "project"))


@pytest.fixture
def on_sqlite(directory: Path, tmp_path: Path) -> Project:
    """The project with a test database in a file."""
    return Project(
        directory=directory, url=f"sqlite:///{tmp_path}/default.sqlite3", test_name=f"{tmp_path}/test.sqlite3"
    )


@pytest.fixture
def on_postgresql(directory: Path, postgresql_server: Server, postgresql_database: str) -> Iterator[Project]:
    """The project on the PostgreSQL server."""
    yield from on_server(directory, postgresql_server, postgresql_database)


@pytest.fixture
def on_mariadb(directory: Path, mariadb_server: Server, mariadb_database: str) -> Iterator[Project]:
    """The project on the MariaDB server."""
    yield from on_server(directory, mariadb_server, mariadb_database)


@pytest.fixture
def on_mysql(directory: Path, mysql_server: Server, mysql_database: str) -> Iterator[Project]:
    """The project on the MySQL server."""
    yield from on_server(directory, mysql_server, mysql_database)


def on_server(directory: Path, server: Server, database: str) -> Iterator[Project]:
    name = f"{database}_t"
    try:
        yield Project(directory=directory, url=server.url_of(database), test_name=name)
    finally:
        for left in server.databases():
            if left.startswith(name):
                server.drop_database(left)


@pytest.fixture(params=DATABASES)
def project(request: pytest.FixtureRequest) -> Project:
    """The project on each kind of database."""
    return request.getfixturevalue(f"on_{request.param}")

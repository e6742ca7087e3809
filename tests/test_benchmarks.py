"""The benchmarks generate projects that work, and report what they measure."""

import pytest

from benchmarks import conversions, loading, watch
from benchmarks.cases import SYNCDB, Comparison
from benchmarks.databases import PREFIX, Mariadb, Mysql, Sqlite
from benchmarks.measure import Command, Run, Runs, alternate
from benchmarks.project import generate_measurement, generate_models
from benchmarks.report import markdown


def test_generated_projects(tmp_path):
    database = Sqlite(tmp_path)
    models = generate_models(tmp_path / "models", 3)
    measurement = generate_measurement(tmp_path / "measurement")
    runs = alternate(
        {
            "models": Command(arguments=SYNCDB, project=models, prepare=lambda: database.create("models")),
            "measurement": Command(arguments=SYNCDB, project=measurement, prepare=lambda: database.create("one")),
        },
        1,
    )
    assert "Creating table generated_model2" in runs["models"].runs[0].output
    assert database.read_catalog("models") > 0
    assert runs["measurement"].seconds > 0


def test_saves_are_measured(tmp_path):
    (took,) = watch.measure(Sqlite(tmp_path), tmp_path, 1)
    assert took > 0


def test_loading_is_measured(tmp_path):
    first_query, cells = loading.measure(Sqlite(tmp_path), tmp_path, 1)
    assert first_query > 0
    assert len(cells) == len(loading.HEADINGS)


@pytest.mark.parametrize(("name", "kind"), [("mariadb", Mariadb), ("mysql", Mysql)])
def test_databases_on_mariadb_and_mysql(request, name, kind):
    """They are measured like others, and none is left."""
    server = request.getfixturevalue(f"{name}_server")
    database = kind(server.url)
    assert f"/{PREFIX}one" in database.create("one")
    assert f"{PREFIX}one" in server.databases()
    assert database.read_catalog("one") > 0
    database.drop_all()
    assert database.version() == f"{server.name} {server.version()}"
    assert not [name for name in server.databases() if name.startswith(PREFIX)]


def test_report():
    ours, django = (
        Runs([Run(seconds=seconds, peak_memory=memory, output="", processor=seconds / 2)])
        for seconds, memory in ((1.0, 30_000_000), (2.0, 60_000_000))
    )
    comparison = Comparison(
        case="from empty", database="sqlite", size="3 models", ours=ours, django=django, time_target=0.4
    )
    assert (comparison.time_ratio, comparison.memory_ratio, comparison.reached) == (0.5, 0.5, False)
    assert (
        "| from empty | sqlite | 3 models | 1.00 s | 2.00 s | 0.50 | 0.50 s | 1.00 s | 0.50 | 0.40 | 30 MB | 60 MB | "
        "0.50 |  |  |" in markdown([comparison], ["SQLite 3"])
    )


def test_conversions_are_measured(mariadb, capsys):
    conversions.measure(mariadb.alias, 100, 1)
    _, _, *lines = capsys.readouterr().out.splitlines()
    lost = {line.split("|")[1].strip(): int(line.split("|")[-2]) for line in lines}
    assert lost == {**dict.fromkeys(conversions.CASES, 0), "text -> int, one of them none": 1}

"""The runner of `manage.py test` with several processes."""

RUNNER = ("test", "--keepdb", "--parallel", "2", "-v", "2")
TESTS = ("tests.FirstTests", "tests.SecondTests")


def test_django_runner_clones_are_never_stale(project):
    # Ticket 26822 of Django's: with --keepdb and --parallel, clones stayed as they had once been made.
    result = project.manage(*RUNNER, *TESTS)
    assert len(result.lines_with(" tables created in ")) == 1 and len(result.lines_with(" copied from ")) == 2
    result = project.manage(*RUNNER, *TESTS, "--reverse")
    assert len(result.lines_with(" up to date, ")) == 1 and not result.lines_with(" copied from ")
    project.add_field()
    result = project.manage(*RUNNER)
    assert len(result.lines_with("1 change applied in ")) == 1 and len(result.lines_with(" copied from ")) == 2
    # Tests with serialised rows leave a database without them behind.
    assert len(project.manage(*RUNNER).lines_with(" copied from ")) > 0


def test_django_runner_removes_what_it_made(project):
    result = project.manage("test", "--noinput", "--parallel", "2").passed()
    assert len(result.lines_with(" tables created in ")) == 1
    assert project.existing("") == []

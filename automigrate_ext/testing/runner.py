"""For `manage.py test`: a test runner whose databases are made from the models."""

from __future__ import annotations

from typing import Any

from django.test.runner import DiscoverRunner

from automigrate_ext.testing.creation import TestRun, bootstrapping


class AutomigrateRunnerMixin:
    """Makes the test databases from the models; to be put before the test runner's class."""

    verbosity: int

    def setup_databases(self, **kwargs: Any) -> list[tuple[Any, str, bool]]:
        """Set the databases up and log for each what was done; with verbosity 2 also how."""
        with bootstrapping() as run:
            old_config: list[tuple[Any, str, bool]] = super().setup_databases(**kwargs)  # type: ignore[misc]
        self.log_outcomes(run)
        run.begin()
        self.test_run = run
        return old_config

    def teardown_databases(self, old_config: list[tuple[Any, str, bool]], **kwargs: Any) -> None:
        """Destroy the databases, or record in kept ones that the tests have ended in good order."""
        self.test_run.release()
        super().teardown_databases(old_config, **kwargs)  # type: ignore[misc]

    def log_outcomes(self, run: TestRun) -> None:
        """Log what was done, as far as the verbosity asks for it."""
        for outcome in run.outcomes:
            if outcome.source and self.verbosity < 2:
                continue
            if self.verbosity >= 1:
                self.log(outcome.line())  # type: ignore[attr-defined]
            if self.verbosity >= 2:
                for line in outcome.details():
                    self.log(line)  # type: ignore[attr-defined]


class AutomigrateRunner(AutomigrateRunnerMixin, DiscoverRunner):
    """Django's test runner, with test databases made from the models."""

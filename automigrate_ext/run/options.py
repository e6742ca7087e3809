"""What a caller may ask of a run beyond which models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import TYPE_CHECKING, Any

from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.process import origin
from automigrate_ext.waiting import Patience, ignore_message

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan
    from automigrate_ext.plan.progress import Watch

#: Seconds that a question to the rows may take if nothing else is said.
COUNT_TIMEOUT = 60.0
#: Up to how many rows an online run rewrites a table, or reads it while others wait, if nothing else is said.
REWRITE_LIMIT = 10_000
#: How many rows a batch of an online run fills, if nothing else is said.
BATCH_SIZE = 1_000
BOTH_PHASES = (
    "expand and contract: the one comes before the new code starts, the other after the last process of the old code. "
    "Leave out one of them. Nothing was done."
)
NOT_IN_EXPAND = (
    "expand and {beside}: an expand drops nothing, and does not lead to what migrations do. Leave that to the "
    "contract. Nothing was done."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What somebody answered when asked about a plan: `renames` and `defaults` as `autoupdate` takes them.

    With `exactly` and no other answers, the run carries out the plan that was shown, or raises `UnusablePlan`.
    """

    renames: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    exactly: bool = False


Ask = Callable[["Plan"], Answers | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may ask of a run beyond which models."""

    renames: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    accept_data_loss: bool = False
    count_timeout: float | None = COUNT_TIMEOUT
    prune: bool = False
    cascade: bool = False
    record_migrations: bool | None = None
    verbosity: int = 0
    interactive: bool = False
    stdout: Any = None
    lock_wait: float | None = None
    lock_timeout: float | None = None
    notify: Callable[[str], None] | None = None
    progress: Watch | None = None
    ask: Ask | None = None
    unless_same: bool = False
    send_signals: bool = True
    looks_at_migrations: bool = True
    fingerprint: bool = True
    seals: bool = True
    place: str = ""
    expand: bool = False
    contract: bool = False
    online: bool = False
    rewrite_limit: int = REWRITE_LIMIT
    batch_size: int = BATCH_SIZE
    batch_pause: float = 0.0
    history: bool = True
    origin: str = field(default_factory=origin)

    def __post_init__(self) -> None:
        self.forbid_contradictions()
        if self.batch_size < 1:
            raise AutomigrateError(
                f"batch_size={self.batch_size}: expected a number of rows, 1 or more. Nothing was done."
            )
        for name in ("count_timeout", "lock_wait", "lock_timeout", "batch_pause"):
            limit = getattr(self, name)
            if limit is not None and not limit >= 0:
                raise AutomigrateError(f"{name}={limit}: expected a number of seconds, 0 or more. Nothing was done.")

    def forbid_contradictions(self) -> None:
        """Raise `AutomigrateError` where an expand is asked for what only the contract can do."""
        if self.expand and self.contract:
            raise AutomigrateError(BOTH_PHASES)
        beside = [name for name in ("accept_data_loss", "prune", "record_migrations") if getattr(self, name)]
        if self.expand and beside:
            raise AutomigrateError(NOT_IN_EXPAND.format(beside=", ".join(beside)))

    def lacks(self, answers: Answers) -> bool:
        """Return whether the answers hold something that the options do not."""
        known = answers.renames.items() <= self.renames.items()
        return not known or not answers.defaults.items() <= self.defaults.items()

    def answered(self, answers: Answers) -> Options:
        """Return the options as if the answers had been given with them, so that nobody is asked again."""
        renames = {**self.renames, **answers.renames}
        defaults = {**self.defaults, **answers.defaults}
        return evolve(self, renames=renames, defaults=defaults, ask=None)

    @property
    def patience(self) -> Patience:
        """How long to wait for others, and whom to tell."""
        return Patience(lock_wait=self.lock_wait, lock_timeout=self.lock_timeout, notify=self.notify or ignore_message)

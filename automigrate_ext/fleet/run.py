"""One run over many targets: look, group by shape, do the first of each shape, then the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from itertools import groupby

from automigrate_ext.backends.fingerprint import short
from automigrate_ext.exceptions import InterruptedFleet
from automigrate_ext.fleet.looks import Seen, chunks, family_key
from automigrate_ext.fleet.recipe import Recipe
from automigrate_ext.fleet.report import FleetProgress, FleetReport, Outcome, Shape, Status
from automigrate_ext.fleet.targets import Target
from automigrate_ext.fleet.work import Result, Worker
from automigrate_ext.plan.plan import Judgement, Plan, Verdict
from automigrate_ext.schema.changes import AddColumn, AddIndex, CreateExtension, CreateTable, DropConstraint, DropIndex

#: How many targets of one shape are worked on before they are looked at again.
TARGETS_A_BATCH = 50


Watch = Callable[[FleetProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Targets of one shape, and what to repeat in them, None where each is run by itself."""

    targets: tuple[Target, ...]
    shape: str
    recipe: Recipe | None = None
    creates: bool = False


#: Does batches and yields what became of each of their targets, in any order.
Do = Callable[[Iterable[Batch]], Iterator[Result]]


@dataclass(slots=True, kw_only=True)
class FleetRun:
    """One run over many targets.

    `first` is how many of them have to be well before the others are begun, 0 for no such stage; `max_failures` is the
    number of failures at which no further target is begun, None for no limit. `do` works on batches, by default in this
    process. `locks_left` is how many locks all of them may take, where they share one transaction. `relist` lists the
    targets once more when those are done that the others share: tables that these have got may decide which others
    there are.
    """

    targets: Sequence[Target]
    worker: Worker
    first: int = 0
    max_failures: int | None = None
    watch: Watch | None = None
    do: Do | None = None
    locks_left: int | None = None
    relist: Callable[[], Sequence[Target]] | None = None
    report: FleetReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = FleetReport(self.worker.command)

    def run(self) -> FleetReport:
        """Do the work on all targets, and return what became of them.

        Ctrl-C raises `InterruptedFleet` with the report, in which the rest is not begun.
        """
        try:
            for stage in self.stages():
                self.run_stage(stage)
        except KeyboardInterrupt as stop:
            self.add_not_begun()
            raise InterruptedFleet(self.report) from stop
        self.add_not_begun()
        return self.report

    def add_not_begun(self) -> None:
        """Add the targets to the report that were not begun."""
        for target in self.targets:
            if target.name not in self.report.outcomes:
                self.report.add(Outcome(target=target.name, status=Status.NOT_BEGUN))

    def stages(self) -> Iterator[Sequence[Target]]:
        """Yield the targets that are begun once those before them are done: shared, first ones, then group by group."""
        if shared := [target for target in self.targets if target.shared]:
            yield shared
            if self.report.failed:
                return
            self.list_again()
        others = [target for target in self.targets if not target.shared]
        if self.first:
            yield others[: self.first]
            if self.report.failed:
                return
        order = {group: number for number, group in enumerate(dict.fromkeys(target.group for target in self.targets))}
        rest = sorted(others[self.first :], key=lambda target: order[target.group])
        for _, group in groupby(rest, lambda target: target.group):
            if self.is_enough():
                return
            yield list(group)

    def list_again(self) -> None:
        """List the targets once more, as far as that is asked for, and those that are done can have changed which."""
        if self.relist is not None and not self.worker.dry_run:
            self.targets = self.relist()

    def is_enough(self) -> bool:
        """Return whether so many targets have failed that no further one is begun."""
        return self.max_failures is not None and len(self.report.failed) >= self.max_failures

    # A stage

    def run_stage(self, targets: Sequence[Target]) -> None:
        """Do the work on the targets of one stage."""
        batches: list[Batch] = []
        without_lead: set[str] = set()
        is_first = True
        for shape, alike in self.by_shape(targets).items():
            if self.is_enough():
                return
            is_unknown = shape.startswith(UNKNOWN)
            if is_unknown and not is_first and self.do is not None:
                # Each has a shape of its own, and nothing to learn from others.
                batches.append(Batch(targets=tuple(alike), shape=shape))
                without_lead.update(target.name for target in alike)
            else:
                batches += self.lead(shape, alike)
            is_first = is_first and not is_unknown
        for result in (self.do or self.do_here)(self.while_well(batches)):
            name = result.outcome.target
            self.add(self.shaped(result, [name]) if name in without_lead else result)

    def while_well(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches until too many targets have failed."""
        for batch in batches:
            if self.is_enough():
                return
            yield batch

    def do_here(self, batches: Iterable[Batch]) -> Iterator[Result]:
        """Do batches in this process."""
        for batch in batches:
            for result in self.worker.batch(batch.targets, batch.shape, batch.recipe, creates=batch.creates):
                yield result
                if self.is_enough():
                    return

    def by_shape(self, targets: Sequence[Target]) -> dict[str, list[Target]]:
        """Look at the targets, settle those with nothing to do, and return the others by their shape."""
        alike: dict[str, list[Target]] = {}
        for seen in self.worker.looks.see(targets):
            outcome = self.settled(seen)
            if outcome is None:
                alike.setdefault(shape_of(seen), []).append(seen.target)
            else:
                self.add(Result(outcome=outcome))
        return alike

    def settled(self, seen: Seen) -> Outcome | None:
        """Return what became of a target with which nothing is done; None where something is."""
        name = seen.target.name
        if seen.error is not None:
            return Outcome(target=name, status=Status.FAILED, reason=" ".join(str(seen.error).split()))
        if seen.is_absent and not (self.worker.creates and not self.worker.dry_run):
            return Outcome(target=name, status=Status.ABSENT)
        if seen.seal is not None and self.worker.command == "autoupdate":
            return Outcome(target=name, status=Status.MATCHES, kept=len(seen.seal.kept))
        return None

    def lead(self, shape: str, targets: Sequence[Target]) -> Iterator[Batch]:
        """Do the first target of a shape, and yield what is to be done with the others."""
        first, *others = targets
        creates = shape.startswith(ABSENT)
        if not creates:
            self.worker.ask_about(first)
        result = self.worker.alone(first, shape, creates=creates)
        result = self.shaped(result, [target.name for target in targets])
        shape = result.outcome.shape
        self.add(result)
        if self.locks_left is not None:
            self.locks_left -= result.locks * len(targets)
            if self.locks_left < 0:
                self.add(Result(outcome=evolve(result.outcome, status=Status.FAILED, reason=TOO_MANY_LOCKS)))
                return
        if self.worker.dry_run and result.plan is not None and not depends_on_rows(result.plan):
            for target in others:
                self.add(Result(outcome=evolve(result.outcome, target=target.name)))
            return
        for chunk in chunks(others, TARGETS_A_BATCH):
            yield Batch(targets=tuple(chunk), shape=shape, recipe=result.recipe, creates=creates)

    def shaped(self, result: Result, names: Sequence[str]) -> Result:
        """Add targets to their shape, that of the plan where nothing else is known of it; return the result with it."""
        shape = result.outcome.shape
        if shape.startswith(UNKNOWN) and result.plan is not None:
            shape = planned_shape(result.plan)
        found = self.report.shapes.setdefault(shape, Shape(digest=shape, plan=result.plan))
        found.targets += names
        return evolve(result, outcome=evolve(result.outcome, shape=shape))

    def add(self, result: Result) -> None:
        """Add what became of a target, and show how far the run has come."""
        self.report.add(result.outcome)
        if self.watch is not None:
            done = len(self.report.outcomes)
            self.watch(FleetProgress(done=done, failed=len(self.report.failed), total=len(self.targets)))


#: Why targets that share one transaction are not all done in it.
TOO_MANY_LOCKS = (
    "The locks of so many tables do not fit into one transaction (max_locks_per_transaction), so nothing was changed. "
    "Raise that setting of the server, name fewer targets, or leave out atomic."
)
#: What the shapes of targets begin with that are not there yet, and of those that only a comparison can read.
ABSENT, UNKNOWN = "absent ", "unknown "


def shape_of(seen: Seen) -> str:
    """Return the shape of a target; targets of which nothing is known have one each."""
    if seen.is_absent:
        return f"{ABSENT}{short([repr(family_key(seen.target))])}"
    return seen.shape or f"{UNKNOWN}{seen.target.name}"


def planned_shape(plan: Plan) -> str:
    """Return the shape of a target of which only its plan is known."""
    words = (str(judgement) for judgement in plan.judgements)
    return short((plan.vendor, *plan.statements, *words))


def depends_on_rows(plan: Plan) -> bool:
    """Return whether another target with the same tables may have another verdict, because of its rows."""
    return not all(
        judgement.verdict is Verdict.POSTPONE or (judgement.verdict is Verdict.APPLY and is_blind(judgement))
        for judgement in plan.judgements
    )


def is_blind(judgement: Judgement) -> bool:
    """Return whether no row decides about the change of a judgement."""
    change = judgement.change
    return (
        not judgement.hazards
        and isinstance(change, (AddColumn, AddIndex, CreateExtension, CreateTable, DropConstraint, DropIndex))
        and not (isinstance(change, AddIndex) and change.new.unique)
        and not (isinstance(change, AddColumn) and not change.new.null)
    )

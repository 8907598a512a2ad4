"""Plan the iterations of a decision log again, and say where a planner decides otherwise."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from niyama_core.journal import (
    Aborted,
    Admitted,
    Event,
    Finished,
    FoundCached,
    IterationRecord,
    Learned,
    LostKv,
    Planned,
    Relegated,
)
from niyama_core.planner import Planner

__all__ = ["Difference", "ReplayError", "replay"]


class ReplayError(ValueError):
    """A log cannot be replayed as it is; the message says which record is at fault."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay decided otherwise than the log says.

    Attributes:
        index: the iteration.
        field: what differs: a field of `IterationPlan`.
        recorded: its value in the log.
        replayed: its value in the replay.
    """

    index: int
    field: str
    recorded: object
    replayed: object

    def __str__(self) -> str:
        """Return the difference as one line."""
        return f"iteration {self.index}: {self.field} was {self.recorded!r:.200}, replayed {self.replayed!r:.200}"


def replay(records: Iterable[IterationRecord], planner: Planner) -> Iterator[Difference]:
    """Yield what differs in the first iteration that a planner decides otherwise than a log; nothing when none does.

    After that iteration the states have parted and every further comparison would be idle, so the replay ends there.

    Args:
        records: a log from its first iteration on.
        planner: a fresh one, with the settings of the log's header.

    Raises:
        ReplayError: a record is missing, or tells of a request that is not live.
    """
    for index, record in enumerate(records):
        if record.index != index:
            raise ReplayError(f"iteration {index} is missing: the next in the log is {record.index}")
        for event in record.before:
            _tell(planner, event, index=index)
        differences = list(_differences(record, planner))
        yield from differences
        if differences:
            return
        for event in record.during:
            _tell(planner, event, index=index)
        planner.record(record.executed, record.ended)


def _differences(record: IterationRecord, planner: Planner) -> Iterator[Difference]:
    """Plan an iteration again and compare it field by field."""
    plan = planner.plan(record.now, record.kv_free_tokens)
    for field in fields(plan):
        recorded, replayed = getattr(record.plan, field.name), getattr(plan, field.name)
        if recorded != replayed:
            yield Difference(record.index, field.name, recorded, replayed)


def _tell(planner: Planner, event: Event, *, index: int) -> None:
    """Tell a planner what the log says it was told.

    Raises:
        ReplayError: it cannot have been.
    """
    try:
        match event:
            case Admitted(request=request):
                planner.admit(request)
            case Finished(request_id=request_id):
                planner.finish(request_id)
            case Aborted(request_id=request_id):
                planner.abort(request_id)
            case Relegated(request_id=request_id):
                planner.relegate(request_id)
            case FoundCached() | LostKv() | Learned():
                _tell_of_engine(planner, event)
            case Planned(now=now, kv_free_tokens=kv_free_tokens):
                planner.plan(now, kv_free_tokens)
    except (KeyError, ValueError) as error:
        raise ReplayError(f"iteration {index}: {event!r:.200} is impossible here: {error}") from error


def _tell_of_engine(planner: Planner, event: FoundCached | LostKv | Learned) -> None:
    match event:
        case FoundCached(request_id=request_id, num_tokens=num_tokens):
            planner.find_cached(request_id, num_tokens)
        case LostKv(request_id=request_id):
            planner.lose_kv(request_id)
        case Learned(time=time):
            planner.learn(time)

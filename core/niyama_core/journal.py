"""The decision log: what a replica decided in each iteration, why, and what came of it.

This is the schema, defined here once; a file of it holds a `JournalHeader` and then one `IterationRecord` a line. A
record is enough to plan the same iteration again: all that a planner is told between two iterations is in it, in the
order in which it was told. docs/decision-log.md shows a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from niyama_core.json_records import Json, JsonRecordError, read_record, write_record
from niyama_core.plan import ExecutedIteration, IterationPlan, IterationTime
from niyama_core.policies import SchedulerSettings
from niyama_core.request import Request

__all__ = [
    "SCHEMA_VERSION",
    "Aborted",
    "Admitted",
    "Event",
    "Finished",
    "FoundCached",
    "IterationRecord",
    "JournalHeader",
    "Learned",
    "LostKv",
    "Planned",
    "Relegated",
]

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What the planner of a log was made of; the first line of a file.

    Attributes:
        scheduler: the policy and its settings.
        profile: name of the latency profile.
        speed: factor on the profile's speed.
        seed: seed of the run's noise, if it had any; planning needs none.
        replica: who wrote the log.
        schema_version: version of this schema.
    """

    scheduler: SchedulerSettings
    profile: str
    speed: float = 1.0
    seed: int = 0
    replica: str = ""
    schema_version: int = SCHEMA_VERSION

    def to_json_dict(self) -> dict[str, Json]:
        """Return the header as JSON values."""
        return write_record(self)

    @classmethod
    def from_json_dict(cls, value: Mapping[str, object]) -> "JournalHeader":
        """Return the header that `to_json_dict` made `value` from.

        Raises:
            JsonRecordError: `value` is no header, or one of another version; the message names the key.
        """
        version = value.get("schema_version")
        if version != SCHEMA_VERSION:
            raise JsonRecordError(f"schema_version: must be {SCHEMA_VERSION}, not {version!r}")
        return read_record(cls, value)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request was taken on."""

    request: Request


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer ended by itself."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """A request was let go."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Relegated:
    """A request was put behind all that can be on time, by order from outside the planner."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Learned:
    """An iteration that was recorded before its time was known took so long."""

    time: IterationTime


@dataclass(frozen=True, slots=True)
class FoundCached:
    """The KV cache holds so many of the first tokens that a request's prefill needs."""

    request_id: str
    num_tokens: int


@dataclass(frozen=True, slots=True)
class LostKv:
    """The engine took the KV of a request, beyond what was planned."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Planned:
    """An iteration was planned and not run, but the plan relegated or preempted a request, which stays so."""

    now: float
    kv_free_tokens: int


Event = Admitted | Finished | Aborted | Relegated | FoundCached | LostKv | Learned | Planned


@dataclass(frozen=True, slots=True)
class IterationRecord:
    """One iteration: what the planner was told, what it decided, what was run.

    Attributes:
        index: counts the iterations of a log from 0.
        before: what the planner was told since the last iteration ended, in order.
        now: instant of the plan, on the replica's monotonic clock.
        kv_free_tokens: tokens that the KV cache could still hold.
        plan: the decision: slack, budget, batch, relegations, predicted time.
        during: what the planner was told while the iteration ran, in order.
        seconds: how long the iteration took.
        ended: instant at which it was recorded.
        deviation: what was run, where that was not the plan to the letter, or where its time was not known when it was
            recorded; else None.
    """

    index: int
    before: tuple[Event, ...]
    now: float
    kv_free_tokens: int
    plan: IterationPlan
    during: tuple[Event, ...]
    seconds: float
    ended: float
    deviation: ExecutedIteration | None = None

    @property
    def executed(self) -> ExecutedIteration:
        """What was run."""
        return self.deviation or self.plan.executed(self.seconds)

    def to_json_dict(self) -> dict[str, Json]:
        """Return the record as JSON values."""
        return write_record(self)

    @classmethod
    def from_json_dict(cls, value: Mapping[str, object]) -> "IterationRecord":
        """Return the record that `to_json_dict` made `value` from.

        Raises:
            JsonRecordError: `value` is no record; the message names the key.
        """
        return read_record(cls, value)

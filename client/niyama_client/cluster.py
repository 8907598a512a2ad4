"""How a cluster fares and what it serves, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from niyama.v1 import describe_pb2, inference_pb2
from niyama_core.load import ReplicaLoad
from niyama_runtime.wire import duration_from_wire, load_from_wire

__all__ = [
    "ClassAttainment",
    "ClusterStatus",
    "Description",
    "LoadBoardState",
    "ReplicaStatus",
    "description_from_wire",
    "status_from_wire",
]


class LoadBoardState(Enum):
    """How a router hears of its replicas."""

    CONNECTED = "connected"
    """Redis answers."""
    DISCONNECTED = "disconnected"
    """Redis is away; the router goes on with what it knows and asks replicas itself."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAttainment:
    """How the requests of one class have fared at one router since it started.

    Attributes:
        qos_class: name of the class.
        num_requests: taken on.
        num_completed: ended well.
        num_on_time: kept their promise.
        num_rejected: refused at the door.
        num_failed: ended with an error.
        num_cancelled: their client left.
        num_relegated: were relegated.
        num_moved: were moved to another replica.
        num_deadline_tokens: tokens emitted with a deadline of their own.
        num_late_tokens: of those, the late ones.
        num_placed: placed for clients that stream from replicas themselves; they are in none of the other counts.
    """

    qos_class: str
    num_requests: int
    num_completed: int
    num_on_time: int
    num_rejected: int
    num_failed: int
    num_cancelled: int
    num_relegated: int
    num_moved: int
    num_deadline_tokens: int
    num_late_tokens: int
    num_placed: int = 0

    @property
    def num_running(self) -> int:
        """Requests that have not ended."""
        return max(0, self.num_requests - self.num_completed - self.num_failed - self.num_cancelled)

    @property
    def attainment(self) -> float | None:
        """Share of the requests that kept their promise, refused and failed ones included; None of none."""
        num_judged = self.num_completed + self.num_rejected + self.num_failed
        return self.num_on_time / num_judged if num_judged else None


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica as the router that was asked sees it.

    Attributes:
        load: its latest report.
        load_age: seconds since that report; None before the first.
        placeable: whether new requests may be placed there.
        num_open: requests of this router that are open there.
    """

    load: ReplicaLoad
    load_age: float | None
    placeable: bool
    num_open: int


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """How a cluster fares.

    Attributes:
        cluster: namespace/name.
        router: name of the router that answered.
        placement: its placement policy.
        policy: scheduling policy of the replicas.
        load_board: whether Redis answers.
        classes: one for each class.
        replicas: one for each known replica.
    """

    cluster: str
    router: str
    placement: str
    policy: str
    load_board: LoadBoardState
    classes: tuple[ClassAttainment, ...]
    replicas: tuple[ReplicaStatus, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What a server serves.

    Attributes:
        version: of Niyama.
        model: served model name.
        engine: what computes; `paced` means that no model runs.
        engine_version: its version.
        profile: latency profile that the scheduler started from.
        policy: scheduling policy.
        bytes_per_token: mean bytes of prompt text for each token.
        context_tokens: the longest prompt plus answer.
        max_output_tokens: the most tokens that one request may generate.
        replay: whether it was started for replay.
    """

    version: str
    model: str
    engine: str
    engine_version: str
    profile: str
    policy: str
    bytes_per_token: float
    context_tokens: int
    max_output_tokens: int
    replay: bool


_LOAD_BOARD_STATES: Mapping[int, LoadBoardState] = {
    inference_pb2.LOAD_BOARD_STATE_CONNECTED: LoadBoardState.CONNECTED,
    inference_pb2.LOAD_BOARD_STATE_DISCONNECTED: LoadBoardState.DISCONNECTED,
}


def status_from_wire(message: inference_pb2.ClusterStatusResponse) -> ClusterStatus:
    """Return what a router says.

    Raises:
        WireError: a load or a duration is broken.
    """
    return ClusterStatus(
        cluster=message.cluster,
        router=message.router,
        placement=message.placement,
        policy=message.policy,
        load_board=_LOAD_BOARD_STATES.get(message.load_board, LoadBoardState.UNKNOWN),
        classes=tuple(map(_class_from_wire, message.classes)),
        replicas=tuple(map(_replica_from_wire, message.replicas)),
    )


def description_from_wire(message: describe_pb2.DescribeResponse) -> Description:
    """Return what a server says of itself."""
    return Description(
        version=message.version,
        model=message.model,
        engine=message.engine,
        engine_version=message.engine_version,
        profile=message.profile,
        policy=message.policy,
        bytes_per_token=message.bytes_per_token,
        context_tokens=message.context_tokens,
        max_output_tokens=message.max_output_tokens,
        replay=message.replay,
    )


def _class_from_wire(message: inference_pb2.ClassAttainment) -> ClassAttainment:
    return ClassAttainment(
        qos_class=message.qos_class,
        num_requests=message.num_requests,
        num_completed=message.num_completed,
        num_on_time=message.num_on_time,
        num_rejected=message.num_rejected,
        num_failed=message.num_failed,
        num_cancelled=message.num_cancelled,
        num_relegated=message.num_relegated,
        num_moved=message.num_moved,
        num_deadline_tokens=message.num_deadline_tokens,
        num_late_tokens=message.num_late_tokens,
        num_placed=message.num_placed,
    )


def _replica_from_wire(message: inference_pb2.ReplicaStatus) -> ReplicaStatus:
    return ReplicaStatus(
        load=load_from_wire(message.load),
        load_age=duration_from_wire(message.load_age, "load_age") if message.HasField("load_age") else None,
        placeable=message.placeable,
        num_open=message.num_open,
    )

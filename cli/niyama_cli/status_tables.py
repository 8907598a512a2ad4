"""How a cluster fares, as tables for a terminal."""

from collections.abc import Iterable, Sequence

from niyama_client import ClassAttainment, ClusterStatus, LoadBoardState, ReplicaStatus
from niyama_core.load import ClassLoad
from niyama_core.units import format_duration
from niyama_eval.tables import Grade, format_share
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["status_view"]


def status_view(status: ClusterStatus) -> RenderableType:
    """Return a heading, a table of classes and a table of replicas."""
    return Group(_heading(status), _class_table(status), _replica_table(status.replicas))


def _heading(status: ClusterStatus) -> Text:
    engines = (
        ", ".join(sorted({replica.load.engine for replica in status.replicas if replica.load.engine})) or "unknown"
    )
    text = Text.assemble(
        (status.cluster or "cluster", "bold"),
        f" · policy {status.policy} · engine {engines}\nrouter {status.router} · placement {status.placement}",
        " · load board ",
    )
    style = "green" if status.load_board is LoadBoardState.CONNECTED else "bold red"
    return text.append(status.load_board.value, style)


def _class_table(status: ClusterStatus) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption="load: queued / decoding / relegated; late: tokens after their deadline",
    )
    table.caption_justify = "left"
    table.add_column("class", overflow="fold")
    for label in ("load", "requests", "on time", "late", "moved", "rejected", "failed"):
        table.add_column(label, justify="right", no_wrap=True)
    for row in status.classes:
        table.add_row(*_class_cells(row, _class_load(status.replicas, row.qos_class)))
    return table


def _class_cells(row: ClassAttainment, load: ClassLoad) -> list[str | Text]:
    late = row.num_late_tokens / row.num_deadline_tokens if row.num_deadline_tokens else None
    grade = Grade.of(row.attainment)
    return [
        row.qos_class,
        f"{load.num_queued:,} / {load.num_decoding:,} / {load.num_relegated:,}",
        f"{row.num_requests:,}",
        Text(format_share(row.attainment), style=grade.value if grade else ""),
        format_share(late),
        f"{row.num_moved:,}",
        f"{row.num_rejected:,}",
        f"{row.num_failed:,}",
    ]


def _class_load(replicas: Iterable[ReplicaStatus], name: str) -> ClassLoad:
    """Return the load of a class on all replicas together."""
    loads = [replica.load.classes[name] for replica in replicas if name in replica.load.classes]
    return ClassLoad(
        num_queued=sum(load.num_queued for load in loads),
        num_decoding=sum(load.num_decoding for load in loads),
        num_relegated=sum(load.num_relegated for load in loads),
    )


def _replica_table(replicas: Sequence[ReplicaStatus]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("replica", overflow="fold")
    table.add_column("state", no_wrap=True)
    for label in ("open", "to prefill", "iteration", "slack", "KV used", "reported"):
        table.add_column(label, justify="right", no_wrap=True)
    for replica in replicas:
        table.add_row(*_replica_cells(replica))
    return table


def _replica_cells(replica: ReplicaStatus) -> list[str | Text]:
    load = replica.load
    kv_tokens = load.kv_used_tokens + load.kv_free_tokens
    queued = sum(each.queued_prefill_tokens for each in load.classes.values())
    return [
        load.replica,
        _state(replica),
        f"{replica.num_open:,}",
        f"{queued:,}",
        format_duration(load.iteration_seconds),
        "–" if load.tightest_slack is None else format_duration(load.tightest_slack),
        format_share(load.kv_used_tokens / kv_tokens if kv_tokens else None),
        # A replica reports when something has changed: an old report of an idle one is no bad sign.
        "none" if replica.load_age is None else f"{format_duration(replica.load_age)} ago",
    ]


def _state(replica: ReplicaStatus) -> Text:
    if replica.load.draining:
        return Text("draining", "yellow")
    return Text("serving", "green") if replica.placeable else Text("away", "red")

"""How a cluster fares, as tables for a terminal of 80 columns: those of `niyama status`, and of `niyama up`."""

from collections.abc import Iterable, Sequence

from niyama_client import ClassAttainment, ClusterStatus, LoadBoardState, ReplicaStatus
from niyama_core.load import ClassLoad
from niyama_core.units import format_duration
from niyama_eval.tables import Grade, format_share
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["plain_table", "status_view"]


def status_view(status: ClusterStatus) -> RenderableType:
    """Return a heading, a table of classes with what is to be said of them, and a table of replicas."""
    classes, replicas = _class_table(status.classes), _replica_table(status.replicas)
    return Group(_heading(status), "", classes, _notes(status), "", replicas)


def plain_table(*columns: str, gap: int = 2) -> Table:
    """Return an empty table in the look of all of these; the first column is the name, and folds when it is long."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, padding=(0, gap - 1, 0, 0)
    )
    table.add_column(columns[0], overflow="fold")
    for label in columns[1:]:
        table.add_column(label, justify="left" if label == "state" else "right", no_wrap=True)
    return table


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


def _class_table(rows: Iterable[ClassAttainment]) -> Table:
    # One space between columns: so they all fit 80 columns, and figures are shorter than their labels.
    labels = ("requests", "completed", "on time", "late", "relegated", "rejected", "failed", "cancelled")
    table = plain_table("class", *labels, gap=1)
    for row in rows:
        table.add_row(*_class_cells(row))
    return table


def _class_cells(row: ClassAttainment) -> list[str | Text]:
    late = row.num_late_tokens / row.num_deadline_tokens if row.num_deadline_tokens else None
    grade = Grade.of(row.attainment)
    return [
        row.qos_class,
        f"{row.num_requests:,}",
        f"{row.num_completed:,}",
        Text(format_share(row.attainment), style=grade.value if grade else ""),
        format_share(late),
        f"{row.num_relegated:,}",
        f"{row.num_rejected:,}",
        f"{row.num_failed:,}",
        f"{row.num_cancelled:,}",
    ]


def _notes(status: ClusterStatus) -> Text:
    """Return what the table of classes has no room for: how to read it, moves, and what is under way."""
    moved = ", ".join(f"{row.qos_class} {row.num_moved:,}" for row in status.classes if row.num_moved) or "none"
    loads = ((row.qos_class, _class_load(status.replicas, row.qos_class)) for row in status.classes)
    under_way = (f"{name} {load.num_queued:,}/{load.num_decoding:,}/{load.num_relegated:,}" for name, load in loads)
    return Text(
        f"late: tokens after their deadline; moved to another replica: {moved}\n"
        f"now queued/decoding/relegated: {', '.join(under_way) or 'none'}",
        style="dim",
    )


def _class_load(replicas: Iterable[ReplicaStatus], name: str) -> ClassLoad:
    """Return the load of a class on all replicas together."""
    loads = [replica.load.classes[name] for replica in replicas if name in replica.load.classes]
    return ClassLoad(
        num_queued=sum(load.num_queued for load in loads),
        num_decoding=sum(load.num_decoding for load in loads),
        num_relegated=sum(load.num_relegated for load in loads),
    )


def _replica_table(replicas: Sequence[ReplicaStatus]) -> Table:
    table = plain_table("replica", "state", "open", "to prefill", "iteration", "slack", "KV used", "reported")
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

"""What `niyama up` shows while it runs: a live table in a terminal, lines elsewhere."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from niyama.v1 import inference_pb2, load_pb2
from niyama_core.cluster_spec import ClusterSpec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from niyama_cli.local_cluster import LocalCluster
from niyama_cli.local_cluster_plan import DEFAULT_PORT
from niyama_cli.supervisor import Keeper, KeeperState

__all__ = ["LineView", "LiveView", "View", "cluster_tables", "open_view", "summary_line", "try_line"]

Status = inference_pb2.ClusterStatusResponse

_LINE_SECONDS = 10.0


class View(Protocol):
    """Where what happens is shown."""

    def tell(self, line: str) -> None:
        """Show a sentence, for good."""
        ...

    def show(self, cluster: LocalCluster, statuses: Sequence[Status]) -> None:
        """Show how the cluster stands, in place of what was shown before."""
        ...


class LineView:
    """Sentences, and every now and then a line on how the cluster stands when that has changed."""

    def __init__(self) -> None:
        self._last = ""
        self._next_at = 0.0

    def tell(self, line: str) -> None:
        """Print a sentence; a reader that has gone does not take the cluster along."""
        with suppress(OSError):
            print(line, flush=True)

    def show(self, cluster: LocalCluster, statuses: Sequence[Status]) -> None:
        """Print a line if it is another one and the last was some time ago."""
        now = asyncio.get_running_loop().time()
        line = summary_line(cluster, statuses)
        if line != self._last and now >= self._next_at:
            self._last, self._next_at = line, now + _LINE_SECONDS
            self.tell(line)


class LiveView:
    """Sentences that scroll by above a table that is drawn anew."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def tell(self, line: str) -> None:
        """Print a sentence above the table."""
        with suppress(OSError):
            self._live.console.print(Text(line), soft_wrap=True)

    def show(self, cluster: LocalCluster, statuses: Sequence[Status]) -> None:
        """Draw the table."""
        with suppress(OSError):
            self._live.update(cluster_tables(cluster, statuses), refresh=True)


@contextmanager
def open_view() -> Iterator[View]:
    """Yield the view that suits standard output."""
    if not sys.stdout.isatty():
        yield LineView()
        return
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        yield LiveView(live)


def cluster_tables(cluster: LocalCluster, statuses: Sequence[Status]) -> RenderableType:
    """Return processes, replicas and classes as tables; `statuses` are those of the routers that answer."""
    replicas, others = _replica_table(cluster, statuses), _router_table(cluster, statuses)
    return Group("", replicas, "", others, "", _class_table(statuses))


def summary_line(cluster: LocalCluster, statuses: Sequence[Status]) -> str:
    """Return how the cluster stands in one line."""
    running = sum(keeper.state is KeeperState.RUNNING for keeper in cluster.keepers)
    parts = [f"{running} of {len(cluster.keepers)} processes run"]
    for row in _attainment(statuses):
        done = f"{row.num_on_time}/{row.num_completed} on time"
        parts.append(f"{row.qos_class} {done}, {row.num_relegated} relegated")
    return "; ".join(parts)


def try_line(spec: ClusterSpec, router: str) -> str:
    """Return the command that a person may paste to send a first request."""
    where = "" if router.endswith(f":{DEFAULT_PORT}") else f" --router {router}"
    return f'Try: niyama generate "Why is the sky blue?" --class {spec.qos_classes.default}{where}'


def _replica_table(cluster: LocalCluster, statuses: Sequence[Status]) -> Table:
    classes = [qos_class.name for qos_class in cluster.spec.qos_classes]
    table = _table("replica", "pid", "state", "restarts", *classes, "KV", "prefill tok/s")
    table.title = f"{cluster.spec.key}: policy {cluster.spec.scheduler.policy}"
    table.caption = "by class: queued / decoding / relegated"
    seen = {replica.load.replica: replica for status in statuses for replica in status.replicas}
    for keeper in cluster.keepers:
        if keeper.name in cluster.replicas:
            table.add_row(*_replica_row(keeper, seen.get(keeper.name), classes=classes))
    return table


def _replica_row(keeper: Keeper, seen: inference_pb2.ReplicaStatus | None, *, classes: Sequence[str]) -> list[str]:
    row = [keeper.name, str(keeper.pid or "-"), _state(keeper, seen), str(keeper.num_restarts)]
    if seen is None or not seen.HasField("load"):
        return [*row, *("-" for _ in classes), "-", "-"]
    load = seen.load
    by_name = {each.qos_class: each for each in load.classes}
    return [*row, *(_work(by_name.get(name)) for name in classes), _kv(load), f"{load.prefill_tokens_per_second:,.0f}"]


def _state(keeper: Keeper, seen: inference_pb2.ReplicaStatus | None) -> str:
    """Return the process's state, or what the routers say of it when it runs."""
    if keeper.state is not KeeperState.RUNNING:
        return _process_state(keeper)
    if seen is None:
        return "[yellow]not seen yet[/]"
    if seen.load.draining:
        return "[yellow]draining[/]"
    return "[green]serving[/]" if seen.placeable else "[yellow]not placeable[/]"


def _process_state(keeper: Keeper) -> str:
    colour = "green" if keeper.state is KeeperState.RUNNING else "yellow"
    return f"[{colour}]{keeper.state.value}[/]"


def _work(load: load_pb2.ClassLoad | None) -> str:
    return "0 / 0 / 0" if load is None else f"{load.num_queued} / {load.num_decoding} / {load.num_relegated}"


def _kv(load: load_pb2.ReplicaLoad) -> str:
    total = load.kv_used_tokens + load.kv_free_tokens
    return f"{load.kv_used_tokens / total:.0%}" if total else "-"


def _router_table(cluster: LocalCluster, statuses: Sequence[Status]) -> Table:
    table = _table("process", "address", "pid", "state", "restarts", "Redis")
    addresses = dict(zip((f"router-{index}" for index in range(len(cluster.routers))), cluster.routers, strict=True))
    boards = {status.router: _board(status) for status in statuses}
    for keeper in cluster.keepers:
        if keeper.name not in cluster.replicas:
            address = addresses.get(keeper.name, cluster.redis_url.partition("://")[2])
            board = boards.get(keeper.name, "-")
            table.add_row(
                keeper.name, address, str(keeper.pid or "-"), _process_state(keeper), str(keeper.num_restarts), board
            )
    return table


def _board(status: Status) -> str:
    connected = status.load_board == inference_pb2.LOAD_BOARD_STATE_CONNECTED
    return "connected" if connected else "[yellow]away[/]"


def _class_table(statuses: Sequence[Status]) -> Table:
    table = _table(
        "class", "requests", "completed", "on time", "relegated", "moved", "refused", "failed", "late tokens"
    )
    for row in _attainment(statuses):
        counts = (row.num_relegated, row.num_moved, row.num_rejected, row.num_failed)
        table.add_row(
            row.qos_class,
            str(row.num_requests),
            str(row.num_completed),
            _share(row.num_on_time, row.num_completed),
            *map(str, counts),
            _share(row.num_late_tokens, row.num_deadline_tokens),
        )
    return table


def _attainment(statuses: Sequence[Status]) -> list[inference_pb2.ClassAttainment]:
    """Return how each class fared at all routers together."""
    sums: dict[str, inference_pb2.ClassAttainment] = {}
    for row in (row for status in statuses for row in status.classes):
        total = sums.setdefault(row.qos_class, inference_pb2.ClassAttainment(qos_class=row.qos_class))
        for field, value in row.ListFields():
            if field.name != "qos_class":
                setattr(total, field.name, getattr(total, field.name) + value)
    return list(sums.values())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _table(*headers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title_justify="left", caption_justify="left")
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index == 0 else "right", no_wrap=True)
    return table

"""What `niyama up` shows while it runs: a live table in a terminal, lines elsewhere."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from niyama_client import ClusterStatus
from niyama_core.cluster_spec import ClusterSpec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from niyama_cli.local_cluster import LocalCluster
from niyama_cli.local_cluster_plan import DEFAULT_PORT
from niyama_cli.router_sum import together
from niyama_cli.status_tables import plain_table, status_view
from niyama_cli.supervisor import Keeper, KeeperState

__all__ = ["LineView", "LiveView", "View", "cluster_tables", "open_view", "summary_line", "try_line"]

_LINE_SECONDS = 10.0


class View(Protocol):
    """Where what happens is shown."""

    def tell(self, line: str) -> None:
        """Show a sentence, for good."""
        ...

    def show(self, cluster: LocalCluster, statuses: Sequence[ClusterStatus]) -> None:
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

    def show(self, cluster: LocalCluster, statuses: Sequence[ClusterStatus]) -> None:
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

    def show(self, cluster: LocalCluster, statuses: Sequence[ClusterStatus]) -> None:
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


def cluster_tables(cluster: LocalCluster, statuses: Sequence[ClusterStatus]) -> RenderableType:
    """Return what `niyama status` shows, and the processes; `statuses` are those of the routers that answer."""
    fares = status_view(together(statuses)) if statuses else Text("no router answers", style="red")
    return Group("", fares, "", _process_table(cluster))


def summary_line(cluster: LocalCluster, statuses: Sequence[ClusterStatus]) -> str:
    """Return how the cluster stands in one line."""
    running = sum(keeper.state is KeeperState.RUNNING for keeper in cluster.keepers)
    parts = [f"{running} of {len(cluster.keepers)} processes run"]
    for row in together(statuses).classes if statuses else ():
        done = f"{row.num_on_time}/{row.num_completed} on time"
        parts.append(f"{row.qos_class} {done}, {row.num_relegated} relegated")
    return "; ".join(parts)


def try_line(spec: ClusterSpec, router: str) -> str:
    """Return the command that a person may paste to send a first request."""
    where = "" if router.endswith(f":{DEFAULT_PORT}") else f" --router {router}"
    return f'Try: niyama generate "Why is the sky blue?" --class {spec.qos_classes.default}{where}'


def _process_table(cluster: LocalCluster) -> Table:
    table = plain_table("process", "state", "pid", "restarts", "address")
    addresses = dict(zip((f"router-{index}" for index in range(len(cluster.routers))), cluster.routers, strict=True))
    addresses.update(cluster.replicas)
    for keeper in cluster.keepers:
        address = addresses.get(keeper.name, cluster.redis_url.partition("://")[2])
        table.add_row(keeper.name, _state(keeper), str(keeper.pid or "–"), f"{keeper.num_restarts:,}", address)
    return table


def _state(keeper: Keeper) -> Text:
    return Text(keeper.state.value, "green" if keeper.state is KeeperState.RUNNING else "yellow")

"""Runs a cluster until somebody ends it: shows it, takes over changes of the manifest, obeys signals.

The first Ctrl-C (or SIGTERM, or a terminal that closes) drains and ends all; a second one does not wait.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from niyama_core.cluster_spec import ClusterSpec

from niyama_cli.errors import INTERRUPTED, CommandError
from niyama_cli.local_cluster import ClusterStartError, LocalCluster, Revision
from niyama_cli.local_cluster_plan import LocalOptions
from niyama_cli.manifest_file import read_cluster
from niyama_cli.router_probe import RouterProbe
from niyama_cli.state_file import RunningCluster
from niyama_cli.up_record import on_record
from niyama_cli.up_screen import View, try_line

__all__ = ["Foreground"]

_REFRESH_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Foreground:
    """One run of `niyama up`.

    Attributes:
        manifest: the file; it is watched.
        options: how it is run.
        view: where it is shown.
    """

    manifest: Path
    options: LocalOptions
    view: View

    async def run(self, spec: ClusterSpec) -> int:
        """Run the cluster until a signal, and return the exit code.

        Raises:
            CommandError: it did not start.
        """
        cluster = LocalCluster(spec, self.options, tell=self.view.tell)
        with _ending(cluster, self.view) as course:
            try:
                await self._serve(cluster, course)
            except asyncio.CancelledError:
                if not course.num_signals:
                    raise
            except ClusterStartError as error:
                raise CommandError("\n".join((str(error), *(f"  | {line}" for line in error.last_words)))) from error
        self.view.tell(f"{cluster.spec.key} has ended" + ("" if course.served else " before it served"))
        return 0 if course.served and course.num_signals == 1 else INTERRUPTED

    async def _serve(self, cluster: LocalCluster, course: "_Course") -> None:
        self.view.tell(f"starting {_count(cluster.spec.replicas, 'replica')} of {cluster.spec.key} ...")
        # Record and table go last: `niyama down` takes the record's absence for the end, and a drain is shown too.
        async with contextlib.AsyncExitStack() as last, cluster:
            course.served = True
            last.enter_context(on_record(_record(cluster)))
            for line in _welcome(cluster):
                self.view.tell(line)
            last.push_async_callback(_cancelled, asyncio.create_task(self._show(cluster)))
            await self._watch(cluster)

    async def _show(self, cluster: LocalCluster) -> None:
        async with contextlib.AsyncExitStack() as stack:
            probes = [await stack.enter_async_context(RouterProbe(address)) for address in cluster.routers]
            while True:
                statuses = await asyncio.gather(*(probe.status() for probe in probes))
                self.view.show(cluster, [status for status in statuses if status is not None])
                await asyncio.sleep(_REFRESH_SECONDS)

    async def _watch(self, cluster: LocalCluster) -> None:
        seen = _content(self.manifest)
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            content = _content(self.manifest)
            # A file that is away for a moment is being replaced: editors do that.
            if content is not None and content != seen:
                seen = content
                self._revise(cluster)

    def _revise(self, cluster: LocalCluster) -> None:
        try:
            revision = cluster.revise(read_cluster(self.manifest))
        except (CommandError, OSError) as error:
            self.view.tell(f"{self.manifest} has changed and is not taken over:\n{error}")
        else:
            for line in _revision_lines(revision):
                self.view.tell(line)


@dataclass(slots=True)
class _Course:
    """How far a run has come: whether it has served, and how many signals have asked it to end."""

    served: bool = False
    num_signals: int = 0


@contextlib.contextmanager
def _ending(cluster: LocalCluster, view: View) -> Iterator[_Course]:
    """Let the first signal cancel the running task and the second kill all processes; yield the course of the run."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    course = _Course()

    def on_signal() -> None:
        course.num_signals += 1
        if course.num_signals > 1:
            cluster.kill()
        elif task is not None:
            task.cancel()
            view.tell(f"{'draining' if course.served else 'interrupted'}; press Ctrl-C again to end at once")

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield course
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """End a task; if it has failed before, so does this."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _record(cluster: LocalCluster) -> RunningCluster:
    return RunningCluster(
        pid=os.getpid(),
        cluster=cluster.spec.key,
        router=cluster.router,
        routers=cluster.routers,
        redis=cluster.redis_url,
        metrics={name: f"http://{address}/metrics" for name, address in cluster.metrics.items()},
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _welcome(cluster: LocalCluster) -> Iterator[str]:
    """Yield what a person needs to begin."""
    spec = cluster.spec
    yield f"{spec.key} is ready: {_count(spec.replicas, 'replica')} of {spec.model.served_name}"
    yield f"  engine   paced, as {spec.engine.profile} at speed {spec.engine.speed:g}: made-up tokens, no model runs"
    yield f"  routers  {', '.join(cluster.routers)}"
    yield f"  Redis    {cluster.redis_url.rpartition('@')[2]}"
    for name, address in cluster.metrics.items():
        yield f"  metrics  http://{address}/metrics ({name})"
    yield try_line(spec, cluster.router)
    yield "Ctrl-C drains and ends all."


def _revision_lines(revision: Revision) -> Iterator[str]:
    if revision.applied:
        yield f"the manifest has changed: {', '.join(revision.applied)} taken over without a restart"
    if revision.deferred:
        yield f"the manifest has changed: {', '.join(revision.deferred)} takes effect with the next `niyama up`"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

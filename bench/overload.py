"""Overload across replicas: our router beside others, before the same replicas and with the same requests.

    python -m bench.overload [--load 1.5] [--seconds 120] [--contender niyama ...] [--rounds 1] [--json]
    python -m bench.overload --contender niyama --routers 1 --routers 2 --routers 4

Four paced replicas, a real Redis, two routers, all of them processes. The saturation throughput is measured first; then
each contender gets the same requests at `--load` times it, 45 % of them of low importance, for twice the longest TTLT.
The replicas schedule by deadlines for every contender, so what differs is who chooses the replica, and what is turned
away:

    niyama          our placement and rescue
    least-loaded    our router, the replica with the least work
    round-robin     our router, by turns
    rate-limit      by turns, behind a token bucket that lets in what the replicas can carry
    vllm-router     a public router over HTTP, from the package index, by its power_of_two
    vllm-router-fcfs    the same before replicas that serve first come, first served, as usual ones do

Violations count every request, those turned away too. *Spread* is the standard deviation over the replicas of the work
that waits there for its first token, in seconds: where routers run to the same replica, it grows.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import aiohttp
import yaml
from niyama_cli.load_generator import LoadSettings, load_generator
from niyama_core.slo import Interactive
from niyama_eval.outcomes import OutcomeState, RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime.child_process import dying_with_parent
from niyama_sim.door import TokenBucket
from niyama_sim.settings import RateLimit

from bench.cluster_stage import LONGEST_TTLT, Stage, routers_of
from bench.http_front import HttpVisitor
from bench.routers_at_scale import waiting_seconds

ROOT = Path(__file__).parents[1]
ROUTER = ROOT / "out" / "vllm-router"
_LOW_IMPORTANCE = 0.45
_BURST_SECONDS = 2.0

Send = Callable[[WorkloadRequest], Awaitable[RequestOutcome]]
Open = Callable[[], contextlib.AbstractAsyncContextManager[Send]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one run came to; shares of requests, and seconds.

    Attributes:
        contender: its name.
        on_time: of all.
        important_on_time: of those of high importance.
        late_tokens: share of interactive tokens that were late.
        refused: turned away.
        unfinished: accepted, and not completed.
        moved: went to another replica.
        ttft_p95_s: of interactive requests.
        spread_s: standard deviation over the replicas of what waits, in seconds of prefill; 0 where it is not known who
            served what.
        lag_s: by how much the load generator was late, at most.
    """

    contender: str
    on_time: float
    important_on_time: float
    late_tokens: float
    refused: float
    unfinished: int
    moved: float
    ttft_p95_s: float
    spread_s: float
    lag_s: float


async def send_all(requests: Sequence[WorkloadRequest], send: Send) -> tuple[list[RequestOutcome], float]:
    """Send each request at its arrival; return what came of them, and the largest lag in seconds."""
    loop, lag = asyncio.get_running_loop(), 0.0
    async with asyncio.TaskGroup() as group:
        start, tasks = loop.time(), []
        for request in requests:
            await asyncio.sleep(max(0.0, start + request.arrival - loop.time()))
            lag = max(lag, loop.time() - start - request.arrival)
            tasks.append(group.create_task(_outcome(send, request)))
    return [task.result() for task in tasks], lag


async def _outcome(send: Send, request: WorkloadRequest) -> RequestOutcome:
    return await send(request)


@contextlib.asynccontextmanager
async def routed(stage: Stage) -> AsyncIterator[Send]:
    """Yield what sends to our routers."""
    async with (
        stage.cluster() as cluster,
        load_generator(routers_of(cluster), settings=LoadSettings(replay=True)) as generator,
    ):
        yield generator.send


@contextlib.asynccontextmanager
async def rate_limited(stage: Stage, qps: float) -> AsyncIterator[Send]:
    """Yield what sends to our routers whatever a token bucket lets in."""
    bucket, loop = TokenBucket(RateLimit(qps, max(1.0, _BURST_SECONDS * qps))), asyncio.get_running_loop()
    began = loop.time()
    async with routed(stage) as send:

        async def send_if_let_in(request: WorkloadRequest) -> RequestOutcome:
            if bucket.lets_in(loop.time() - began):
                return await send(request)
            return RequestOutcome.of(request, OutcomeState.REJECTED)

        yield send_if_let_in


@contextlib.asynccontextmanager
async def public(stage: Stage, policy: str) -> AsyncIterator[Send]:
    """Yield what sends to the public router, before HTTP fronts of replicas that schedule by `policy`."""
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(replace(stage, routers=1).cluster(policy=policy))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        manifest = folder / "cluster.yaml"
        await asyncio.to_thread(manifest.write_text, yaml.safe_dump(stage.document))
        front = [sys.executable, "-m", "bench.http_front", str(manifest), *cluster.replicas.values()]
        urls = json.loads(await stack.enter_async_context(_process(front)))
        port = await stack.enter_async_context(_public_router(urls, log=folder / "router.log"))
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        )
        yield HttpVisitor(f"http://127.0.0.1:{port}", session).send


@contextlib.asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[str]:
    """Run a process until the end of the block; yield the first line that it prints."""
    process = await asyncio.create_subprocess_exec(
        *dying_with_parent(command), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield line.decode()
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _public_router(urls: Sequence[str], *, log: Path) -> AsyncIterator[int]:
    """Run the public router; yield its port once it serves."""
    port, metrics = 30_800, 30_801
    command = [
        *(str(ROUTER / "bin" / "vllm-router"), "--worker-urls", *urls, "--policy", "power_of_two"),
        *("--port", str(port), "--prometheus-port", str(metrics), "--max-concurrent-requests", "100000"),
        *("--request-timeout-secs", "3600", "--log-level", "warning"),
    ]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*dying_with_parent(command), stdout=output, stderr=output)
        try:
            await _answers(f"http://127.0.0.1:{port}/health")
            yield port
        finally:
            process.kill()
            await process.wait()


async def _answers(url: str) -> None:
    """Return when somebody answers there."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.2)


def install_router() -> None:
    """Install the public router into an environment of its own, by hash, unless it is there."""
    if (ROUTER / "bin" / "vllm-router").exists():
        return
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", str(ROUTER)], check=True)
    python, requirements = str(ROUTER / "bin" / "python"), str(ROOT / "requirements" / "vllm-router.txt")
    install = [uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", requirements]
    subprocess.run(install, check=True)


def contenders(stage: Stage, saturation: float) -> dict[str, Open]:
    """Return how to open each."""
    return {
        "niyama": lambda: routed(stage),
        "least-loaded": lambda: routed(replace(stage, placement="least-loaded")),
        "round-robin": lambda: routed(replace(stage, placement="round-robin")),
        "rate-limit": lambda: rate_limited(replace(stage, placement="round-robin"), saturation),
        "vllm-router": lambda: public(stage, "niyama"),
        "vllm-router-fcfs": lambda: public(stage, "sarathi-fcfs"),
    }


def row(contender: str, outcomes: Sequence[RequestOutcome], *, lag: float) -> Row:
    """Return what the outcomes come to."""
    important = [one for one in outcomes if one.is_important]
    interactive = [one for one in outcomes if isinstance(one.slo, Interactive)]
    ttfts = [one.ttft for one in interactive if one.ttft is not None]
    tokens = sum(len(one.emitted) for one in interactive)
    ended = (OutcomeState.COMPLETED, OutcomeState.REJECTED)
    return Row(
        contender=contender,
        on_time=_share(outcomes, lambda one: one.is_on_time),
        important_on_time=_share(important, lambda one: one.is_on_time),
        late_tokens=sum(one.num_late_tokens for one in interactive) / max(1, tokens),
        refused=_share(outcomes, lambda one: one.state is OutcomeState.REJECTED),
        unfinished=sum(one.state not in ended for one in outcomes),
        moved=_share(outcomes, lambda one: one.num_moves > 0),
        ttft_p95_s=statistics.quantiles(ttfts, n=20)[-1] if len(ttfts) > 1 else 0.0,
        spread_s=_spread(outcomes),
        lag_s=lag,
    )


def _share(outcomes: Sequence[RequestOutcome], holds: Callable[[RequestOutcome], bool]) -> float:
    return sum(map(holds, outcomes)) / len(outcomes) if outcomes else 0.0


def _spread(outcomes: Sequence[RequestOutcome]) -> float:
    served = [one for one in outcomes if one.replica]
    if not served:
        return 0.0
    num_replicas = len({one.replica for one in served})
    waiting = waiting_seconds(served, num_replicas=num_replicas, duration=served[-1].arrival)
    return float(waiting.std(axis=1).mean())


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| contender | important on time | all | late tokens | refused | unended | moved | TTFT p95 | spread | lag |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in rows:
        shares = (one.important_on_time, one.on_time, one.late_tokens, one.refused)
        cells = [one.contender, *(f"{100 * share:.1f} %" for share in shares), str(one.unfinished)]
        seconds = (one.ttft_p95_s, one.spread_s, one.lag_s)
        cells += [f"{100 * one.moved:.1f} %", *(f"{each:.2f} s" for each in seconds)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


async def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=float, default=1.5, help="times the saturation throughput")
    parser.add_argument("--seconds", type=float, default=2 * LONGEST_TTLT, help="in which requests arrive")
    parser.add_argument("--contender", action="append", help="may be repeated; all unless given")
    parser.add_argument("--routers", type=int, action="append", help="may be repeated; 2 unless given")
    parser.add_argument("--rounds", type=int, default=1, help="of all contenders, one after the other")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    stage = Stage(routers=2, low_importance=_LOW_IMPORTANCE)
    saturation = (await stage.saturation()).throughput
    names = options.contender or list(contenders(stage, saturation))
    if any(name.startswith("vllm") for name in names):
        await asyncio.to_thread(install_router)
    requests = stage.requests(qps=options.load * saturation, seconds=options.seconds)
    print(f"saturation {saturation:.1f} requests/s; {len(requests)} requests", file=sys.stderr)
    rows = []
    for _ in range(options.rounds):
        for name, routers in product(names, options.routers or (2,)):
            async with contenders(replace(stage, routers=routers), saturation)[name]() as send:
                outcomes, lag = await send_all(requests, send)
            label = f"{name}, {routers} routers" if options.routers else name
            rows.append(row(label, outcomes, lag=lag))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr)
    print(json.dumps([asdict(one) for one in rows], indent=1) if options.json else table(rows))


if __name__ == "__main__":
    asyncio.run(main())

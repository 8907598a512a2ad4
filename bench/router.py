"""How much a router costs, next to a bare grpc.aio relay that parses and serializes each message.

Both stand before the same replica, which streams as fast as it is read, and are measured in turns, several rounds,
so that what else the machine does hits both alike. Reported are medians over the rounds, and ratios of medians:

    streams/s    of short streams (8 tokens), where placing and opening weigh most
    messages/s   of long streams (512 tokens), where the relaying of each message does
    added TTFT   one request at a time, against the replica itself
    KiB/stream   of memory, of 500 streams of long prompts that are open at a time

    python bench/router.py [--rounds 5] [--seconds 2] [--json]
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from niyama.v1 import generation_pb2, inference_pb2, replica_pb2
from niyama_runtime.child_process import dying_with_parent
from niyama_runtime.grpc_channel import open_channel

STAGE = str(Path(__file__).with_name("relay_stage.py"))
SHORT, LONG, ENDLESS = 8, 512, 5000
NUM_OPEN = 500
CONCURRENCY = 32
TARGET = 0.8

Generate = grpc.aio.UnaryStreamMultiCallable[generation_pb2.GenerateRequest, bytes]


@dataclass(slots=True)
class Contender:
    """One way to the replica.

    Attributes:
        name: for the table.
        address: host:port.
        pid: of its process.
        streams: streams a second, by round.
        messages: messages a second, by round.
        stream_cpu: CPU microseconds of its process a short stream, by round.
        message_cpu: the same a message of long streams.
        ttft: seconds to the first token, by request.
        stream_bytes: memory of one open stream.
    """

    name: str
    address: str
    pid: int
    streams: list[float] = field(default_factory=list)
    messages: list[float] = field(default_factory=list)
    stream_cpu: list[float] = field(default_factory=list)
    message_cpu: list[float] = field(default_factory=list)
    ttft: list[float] = field(default_factory=list)
    stream_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Throughput:
    """What went through in so many seconds."""

    num_streams: int
    num_messages: int
    seconds: float


class Load:
    """A client that reads bytes and parses nothing, so that it costs less than what it measures."""

    def __init__(self, address: str) -> None:
        self._channel = open_channel(address)
        self._generate: Generate = self._channel.unary_stream(
            f"/{inference_pb2.DESCRIPTOR.services_by_name['Inference'].full_name}/Generate",
            request_serializer=generation_pb2.GenerateRequest.SerializeToString,
        )

    async def stream(self, num_tokens: int) -> int:
        """Read one stream to its end and return how many messages it had."""
        call = self._generate(request_for(num_tokens))
        num_messages = 0
        while await call.read() is not grpc.aio.EOF:
            num_messages += 1
        return num_messages

    async def ttft(self) -> float:
        """Return the seconds to the first token of one request, the second message."""
        began = time.perf_counter()
        call = self._generate(request_for(1))
        await call.read()
        await call.read()
        seconds = time.perf_counter() - began
        while await call.read() is not grpc.aio.EOF:
            pass
        return seconds

    async def many(self, num_tokens: int, seconds: float) -> "Throughput":
        """Keep `CONCURRENCY` streams open for so long."""
        counts: list[int] = []
        began = time.perf_counter()

        async def keep_going() -> None:
            while time.perf_counter() - began < seconds:
                counts.append(await self.stream(num_tokens))

        await asyncio.gather(*(keep_going() for _ in range(CONCURRENCY)))
        return Throughput(len(counts), sum(counts), time.perf_counter() - began)

    async def hold(self, number: int) -> "list[object]":
        """Open so many streams that never end, and return them once each has had a token."""
        calls = [self._generate(request_for(ENDLESS)) for _ in range(number)]
        for call in calls:
            await call.read()
            await call.read()
        return [*calls]

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class DirectLoad(Load):
    """The same, on the replica itself."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._generate = self._channel.unary_stream(
            "/niyama.v1.Replica/Generate",
            request_serializer=_serialized_for_a_replica,
        )


def _serialized_for_a_replica(request: generation_pb2.GenerateRequest) -> bytes:
    return replica_pb2.ReplicaGenerateRequest(request=request).SerializeToString()


def request_for(num_tokens: int) -> generation_pb2.GenerateRequest:
    """Return a request that the eager replica answers with so many tokens."""
    return generation_pb2.GenerateRequest(
        prompt="x" * 2000, sampling=generation_pb2.Sampling(seed=num_tokens), app="bench"
    )


@contextlib.asynccontextmanager
async def process(*command: str) -> AsyncIterator[tuple[str, int]]:
    """Run a process that says its address on its first line; yield address and id."""
    child = await asyncio.create_subprocess_exec(
        *dying_with_parent([sys.executable, *command]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert child.stdout is not None
        line = (await child.stdout.readline()).decode()
        yield (json.loads(line)["address"] if line.startswith("{") else line.split()[1]), child.pid
    finally:
        child.kill()
        await child.wait()


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[tuple[str, list[Contender]]]:
    """Run replica, relay and router; yield the replica's address and the contenders."""
    async with contextlib.AsyncExitStack() as stack:
        replica, _ = await stack.enter_async_context(process(STAGE, "replica"))
        relay, relay_pid = await stack.enter_async_context(process(STAGE, "relay", replica))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        config = Path(folder, "router.json")
        settings = {"cluster": "bench/bench", "listen": "127.0.0.1:0", "model": "bench", "replicas": [replica]}
        await asyncio.to_thread(config.write_text, json.dumps(settings))
        router, router_pid = await stack.enter_async_context(process("-m", "niyama_router", "--config", str(config)))
        yield replica, [Contender("bare relay", relay, relay_pid), Contender("niyama-router", router, router_pid)]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(contender: Contender, seconds: float) -> None:
    """Add one round of throughput."""
    load = Load(contender.address)
    await load.many(SHORT, 0.1)
    cpu = [cpu_seconds(contender.pid)]
    short = await load.many(SHORT, seconds)
    cpu.append(cpu_seconds(contender.pid))
    long = await load.many(LONG, seconds)
    cpu.append(cpu_seconds(contender.pid))
    contender.streams.append(short.num_streams / short.seconds)
    contender.messages.append(long.num_messages / long.seconds)
    contender.stream_cpu.append((cpu[1] - cpu[0]) / short.num_streams * 1e6)
    contender.message_cpu.append((cpu[2] - cpu[1]) / long.num_messages * 1e6)
    await load.close()


def resident_bytes(pid: int) -> int:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure_memory(contender: Contender) -> None:
    """Measure by how much a process grows for each stream that is open."""
    load = Load(contender.address)
    before = resident_bytes(contender.pid)
    calls = await load.hold(NUM_OPEN)
    contender.stream_bytes = (resident_bytes(contender.pid) - before) / len(calls)
    await load.close()


async def measure_ttft(contenders: Sequence[Contender], replica: str, number: int) -> list[float]:
    """Take turns of one request each; return the replica's own times."""
    loads, direct, own = [Load(c.address) for c in contenders], DirectLoad(replica), []
    for index in range(number + 20):
        times = [await direct.ttft(), *[await load.ttft() for load in loads]]
        if index < 20:
            continue
        own.append(times[0])
        for contender, seconds in zip(contenders, times[1:], strict=True):
            contender.ttft.append(seconds)
    for load in (*loads, direct):
        await load.close()
    return own


async def run(rounds: int, seconds: float) -> dict[str, object]:
    """Measure everything and return the figures."""
    async with stage() as (replica, contenders):
        for number in range(rounds):
            for contender in contenders if number % 2 else contenders[::-1]:
                await measure(contender, seconds)
        own = await measure_ttft(contenders, replica, 300)
        for contender in contenders:
            await measure_memory(contender)
    return figures(contenders, own)


def figures(contenders: Sequence[Contender], own_ttft: Sequence[float]) -> dict[str, object]:
    """Return medians, ratios of medians and added times."""
    relay, router = contenders
    return {
        "contenders": {contender.name: _summary(contender, own_ttft) for contender in contenders},
        "streams_ratio": statistics.median(router.streams) / statistics.median(relay.streams),
        "messages_ratio": statistics.median(router.messages) / statistics.median(relay.messages),
        "rounds": len(router.streams),
        "concurrency": CONCURRENCY,
    }


def _summary(contender: Contender, own_ttft: Sequence[float]) -> dict[str, float]:
    return {
        "streams_per_s": statistics.median(contender.streams),
        "messages_per_s": statistics.median(contender.messages),
        "cpu_us_per_stream": statistics.median(contender.stream_cpu),
        "cpu_us_per_message": statistics.median(contender.message_cpu),
        "added_ttft_p50_ms": 1000 * (_percentile(contender.ttft, 50) - _percentile(own_ttft, 50)),
        "kib_per_stream": contender.stream_bytes / 1024,
        "added_ttft_p95_ms": 1000 * (_percentile(contender.ttft, 95) - _percentile(own_ttft, 95)),
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def table(results: dict[str, object]) -> str:
    """Return the figures for a person."""
    contenders = results["contenders"]
    assert isinstance(contenders, dict)
    columns = list(next(iter(contenders.values())))
    lines = ["".join([f"{'':15}", *(f"{column:>20}" for column in columns)])]
    for name, row in contenders.items():
        lines.append("".join([f"{name:15}", *(f"{row[column]:20,.2f}" for column in columns)]))
    ratios = [f"{key.removesuffix('_ratio')} {results[key]:.0%}" for key in ("streams_ratio", "messages_ratio")]
    lines.append(f"router / bare relay: {', '.join(ratios)} (aim: at least {TARGET:.0%})")
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round and kind of stream")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = asyncio.run(run(options.rounds, options.seconds))
    print(json.dumps(results, indent=2) if options.json else table(results))


if __name__ == "__main__":
    main()

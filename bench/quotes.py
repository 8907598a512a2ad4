"""Do quotes hold as often as they say? On real processes, at several loads.

    python -m bench.quotes [--load 0.5 --load 0.9 --load 1.2] [--seconds 120] [--confidence 0.95] [--json]

Before each request is sent, the router is asked what it could promise to a prompt of that length, once with the length
of the answer and once without. The request then goes its way, and its times are held against the quote for its class.
Loads are multiples of the saturation throughput, measured first. *Held* is the share of the quotes that came true, of
those that named a time; *none* the share that named none, because too many waited with no end in sight; *width* how
many times as long the quoted time was as the real one, in the median. Quotes of less confidence than was asked for are
left out: the router had seen too few requests.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from niyama_cli.load_generator import LoadGenerator, LoadSettings, load_generator
from niyama_client import ClassQuote, Client
from niyama_eval.outcomes import OutcomeState, RequestOutcome
from niyama_eval.workloads import WorkloadRequest

from bench.cluster_stage import Stage

MEASURES = ("TTFT", "TTLT of known length", "TTLT")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, what was quoted for it with and without its length, and what came of it."""

    of_length: ClassQuote
    of_history: ClassQuote
    outcome: RequestOutcome

    def times(self, measure: str) -> tuple[ClassQuote, float | None, float | None]:
        """Return the quote that is meant, what it says, and what came."""
        match measure:
            case "TTFT":
                return self.of_length, self.of_length.ttft, self.outcome.ttft
            case "TTLT":
                return self.of_history, self.of_history.ttlt, self.outcome.ttlt
            case _:
                return self.of_length, self.of_length.ttlt, self.outcome.ttlt


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How the quotes of one measure fared for one class, or all; shares, and ratio in the median."""

    load: float
    qos_class: str
    measure: str
    num_quotes: int
    none: float
    held: float | None
    width: float | None


async def ask_and_send(
    client: Client, generator: LoadGenerator, request: WorkloadRequest, *, confidence: float
) -> Asked:
    """Ask for quotes, send the request, and return what came of both."""
    name, prompt, answer = request.promise.qos_class, request.num_prompt_tokens, request.num_output_tokens
    of_length, of_history = await asyncio.gather(
        client.quote(prompt, num_output_tokens=answer, confidence=confidence),
        client.quote(prompt, app=request.app, confidence=confidence),
    )
    outcome = await generator.send(request)
    return Asked(_of(of_length, name), _of(of_history, name), outcome)


def _of(quotes: Sequence[ClassQuote], name: str) -> ClassQuote:
    return next(quote for quote in quotes if quote.qos_class == name)


async def run(stage: Stage, qps: float, *, seconds: float, confidence: float) -> list[Asked]:
    """Send requests at a rate, each after its quotes."""
    requests = stage.requests(qps=qps, seconds=seconds)
    loop = asyncio.get_running_loop()
    # Quotes are for a class, so its requests are as important as it is.
    usual = LoadSettings(replay=True, says_importance=False)
    async with (
        stage.cluster() as cluster,
        Client(cluster.router) as client,
        load_generator(cluster.router, settings=usual) as generator,
        asyncio.TaskGroup() as group,
    ):
        start, tasks = loop.time(), []
        for request in requests:
            await asyncio.sleep(max(0.0, start + request.arrival - loop.time()))
            tasks.append(group.create_task(ask_and_send(client, generator, request, confidence=confidence)))
        await asyncio.gather(*tasks)
    return [task.result() for task in tasks]


def rows(asked: Sequence[Asked], *, load: float, confidence: float) -> Iterator[Row]:
    """Yield how the quotes fared, by measure, of all and by class."""
    names = dict.fromkeys(one.outcome.qos_class for one in asked)
    for measure in MEASURES:
        for name in ("all", *sorted(names)):
            alike = [one.times(measure) for one in asked if name in ("all", one.outcome.qos_class)]
            sure = [times for times in alike if times[0].confidence >= confidence - 1e-9]
            yield _row(sure, load=load, qos_class=name, measure=measure)


def _row(
    quotes: Sequence[tuple[ClassQuote, float | None, float | None]], *, load: float, qos_class: str, measure: str
) -> Row:
    named = [(quoted, came) for _, quoted, came in quotes if quoted is not None]
    ratios = [quoted / came for quoted, came in named if came]
    return Row(
        load=load,
        qos_class=qos_class,
        measure=measure,
        num_quotes=len(quotes),
        none=1 - len(named) / len(quotes) if quotes else 0.0,
        held=sum(came is not None and came <= quoted for quoted, came in named) / len(named) if named else None,
        width=statistics.median(ratios) if ratios else None,
    )


def table(found: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = ["| load | measure | class | quotes | none | held | width |", "|---:|---|---|---:|---:|---:|---:|"]
    for row in found:
        held = "–" if row.held is None else f"{100 * row.held:.1f} %"
        width = "–" if row.width is None else f"{row.width:.1f}"
        what = f"{row.load:g} | {row.measure} | {row.qos_class}"
        lines.append(f"| {what} | {row.num_quotes} | {100 * row.none:.0f} % | {held} | {width} |")
    return "\n".join(lines)


async def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=float, action="append", help="times the saturation throughput; may be repeated")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each load")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    stage = Stage()
    saturation = (await stage.saturation()).throughput
    found: list[Row] = []
    for load in options.load or (0.5, 0.9, 1.2):
        asked = await run(stage, load * saturation, seconds=options.seconds, confidence=options.confidence)
        unanswered = sum(one.outcome.state is not OutcomeState.COMPLETED for one in asked)
        qps = load * saturation
        print(f"load {load:g}: {qps:.1f} requests/s, {len(asked)} sent, {unanswered} unanswered", file=sys.stderr)
        found += rows(asked, load=load, confidence=options.confidence)
    print(json.dumps([asdict(row) for row in found], indent=1) if options.json else table(found))


if __name__ == "__main__":
    asyncio.run(main())

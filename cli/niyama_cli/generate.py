"""`niyama generate`: one prompt, its answer as it comes, and a line on what was promised and kept."""

import asyncio
import sys
from typing import Annotated

import typer
from niyama_client import (
    Batch,
    Completion,
    GenerateOptions,
    Generation,
    Importance,
    Mode,
    Qos,
    QosAsk,
    Relegation,
    Sampling,
)
from niyama_client.connection import Target
from niyama_core.units import format_duration

from niyama_cli.errors import CommandError
from niyama_cli.json_output import print_json
from niyama_cli.option_types import (
    AddressOption,
    CaOption,
    CertificateOption,
    KeyOption,
    TlsOption,
    router_target,
    seconds,
)
from niyama_cli.router_client import asking, router_client

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EXAMPLES = """Examples: niyama generate "Why is the sky blue?" --class chat; niyama generate --ttft 2s "Hello";
niyama generate --ttlt 5m --importance low - < article.txt"""


@app.command(help="Stream the answer to a prompt, and say whether the promise was kept.", epilog=_EXAMPLES)
def generate(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - or nothing reads standard input.")] = None,
    qos_class: Annotated[str | None, typer.Option("--class", "-c", help="A class of the cluster.")] = None,
    ttft: Annotated[
        float | None, typer.Option(parser=seconds, metavar="DURATION", help="Time to first token: 2s.")
    ] = None,
    tbt: Annotated[
        float | None, typer.Option(parser=seconds, metavar="DURATION", help="Time between tokens: 50ms.")
    ] = None,
    ttlt: Annotated[
        float | None, typer.Option(parser=seconds, metavar="DURATION", help="Time to last token: 5m.")
    ] = None,
    importance: Annotated[
        Importance | None, typer.Option(help="Whether it may give way to others; left out, the class says.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens to generate.")] = None,
    app_name: Annotated[str, typer.Option("--app", help="Application, for the history of output lengths.")] = "",
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed and prompt give the same answer.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")] = None,
    timeout: Annotated[
        float | None, typer.Option(parser=seconds, metavar="DURATION", help="Give up after this time: 10m.")
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="Which way tokens come: through a router, from the replica, or as can be reached.")
    ] = Mode.ROUTED,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
    address: AddressOption = None,
    tls: TlsOption = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
) -> None:
    """Put the request together and send it."""
    options = GenerateOptions(app=app_name, mode=mode)
    if importance is not None:
        options["importance"] = importance
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    if timeout is not None:
        options["timeout"] = timeout
    if temperature is not None or seed is not None or stop:
        options["sampling"] = Sampling(temperature=temperature, seed=seed, stop=tuple(stop or ()))
    target = router_target(address, tls=tls, ca=tls_ca, cert=tls_cert, key=tls_key)
    ask = QosAsk(qos_class, ttft, tbt, ttlt)
    with asking(target):
        asyncio.run(_run(target, _prompt(prompt), qos=ask, options=options, show=_Show(quiet=quiet, as_json=as_json)))


class _Show:
    """What goes to standard output, and when."""

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        self._quiet = quiet
        self._as_json = as_json

    async def stream(self, generation: Generation) -> None:
        """Print tokens as they come, and a line when they have."""
        began = False
        try:
            async for token in generation:
                if not self._as_json:
                    began = True
                    print(token, end="", flush=True)
        finally:
            if began:
                print(flush=True)
        if self._as_json:
            print_json(_document(generation))
        elif not self._quiet:
            print(f"\n{summary(generation.completion)}")


async def _run(target: Target, prompt: str, *, qos: Qos, options: GenerateOptions, show: _Show) -> None:
    async with router_client(target) as client:
        await show.stream(client.generate(prompt, qos=qos, **options))


def _prompt(argument: str | None) -> str:
    try:
        text = sys.stdin.read() if argument in (None, "-") else str(argument)
    except UnicodeDecodeError as error:
        raise CommandError(f"the prompt is no UTF-8 text: {error.reason} at byte {error.start}", exit_code=2) from error
    if not text.strip():
        raise CommandError("the prompt is empty: give one, or pipe it in", exit_code=2)
    return text


def summary(completion: Completion) -> str:
    """Return one line on what was promised and what came of it."""
    engine = "engine: paced, no model ran" if completion.engine == "paced" else f"engine: {completion.engine}"
    return " · ".join(
        (
            f"class {completion.qos_class}",
            f"replica {completion.replica} ({engine})",
            f"TTFT {_time(completion.ttft)}",
            f"largest gap {_time(completion.largest_gap)}",
            f"TTLT {_time(completion.ttlt)}",
            _relegated(completion),
            "promise kept" if completion.on_time else "promise NOT kept",
        )
    )


def _relegated(completion: Completion) -> str:
    moves = {0: "", 1: ", moved once"}.get(completion.num_moves, f", moved {completion.num_moves} times")
    match completion.relegation:
        case Relegation.NONE:
            return f"not relegated{moves}"
        case Relegation.BEFORE_FIRST_TOKEN:
            return f"relegated before the first token{moves}"
        case Relegation.AFTER_FIRST_TOKEN:
            return f"relegated after the first token{moves}"


def _time(duration: float | None) -> str:
    return "–" if duration is None else format_duration(duration)


def _document(generation: Generation) -> dict[str, object]:
    completion, promise = generation.completion, generation.accepted.promise
    slo = promise.slo
    times = {"ttlt_s": slo.ttlt} if isinstance(slo, Batch) else {"ttft_s": slo.ttft, "tbt_s": slo.tbt}
    return {
        "request_id": generation.accepted.request_id,
        "text": "".join(token.text for token in generation.tokens),
        "promise": {"qos_class": promise.qos_class, **times, "importance": promise.importance.value},
        "qos_class": completion.qos_class,
        "replica": completion.replica,
        "engine": completion.engine,
        "finish_reason": completion.finish_reason.value,
        "num_prompt_tokens": completion.num_prompt_tokens,
        "num_output_tokens": completion.num_output_tokens,
        "ttft_s": completion.ttft,
        "largest_gap_s": completion.largest_gap,
        "ttlt_s": completion.ttlt,
        "num_late_tokens": completion.num_late_tokens,
        "relegation": completion.relegation.value,
        "num_moves": completion.num_moves,
        "on_time": completion.on_time,
    }

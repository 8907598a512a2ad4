"""`niyama up`: a manifest as local processes, in the foreground or detached."""

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import typer
from niyama_core.cluster_spec import ClusterSpec, EngineType
from niyama_core.policies import POLICIES
from niyama_runtime.addresses import BindError
from niyama_runtime.logs import set_up as set_up_logs

from niyama_cli import up_detached
from niyama_cli.errors import CommandError, told_plainly
from niyama_cli.local_cluster_plan import DEFAULT_PORT, LocalOptions, check_ports
from niyama_cli.manifest_file import STDIN, read_cluster
from niyama_cli.up_foreground import Foreground
from niyama_cli.up_options import (
    DecisionLogsOption,
    DetachOption,
    EngineOption,
    FileOption,
    IterationRecordsOption,
    LogsOption,
    PolicyOption,
    PortOption,
    RedisOption,
    ReplayOption,
    ReplicasOption,
    SpeedOption,
)
from niyama_cli.up_record import running_clusters
from niyama_cli.up_screen import open_view

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    help="Run a cluster on this machine: Redis, replicas and routers as processes, until Ctrl-C.",
    epilog="Example: niyama up -f examples/niyamacluster.yaml --speed 2",
)
def up(
    file: FileOption,
    replicas: ReplicasOption = None,
    speed: SpeedOption = None,
    policy: PolicyOption = None,
    engine: EngineOption = None,
    port: PortOption = DEFAULT_PORT,
    redis: RedisOption = None,
    logs: LogsOption = None,
    decision_logs: DecisionLogsOption = None,
    iteration_records: IterationRecordsOption = None,
    replay: ReplayOption = False,
    detach: DetachOption = False,
) -> None:
    """Return when the cluster has ended, or with `--detach` when it serves."""
    options = LocalOptions(
        replicas=replicas,
        policy=policy,
        engine=engine,
        speed=speed,
        redis_url=redis,
        port=port,
        logs=logs,
        decision_logs=decision_logs,
        iteration_records=iteration_records,
        replay=replay,
    )
    # The children log to files; a line in the middle of the table would only be in the way.
    set_up_logs("error")
    if detach and file == STDIN:
        raise CommandError("--detach: give a manifest in a file", exit_code=2)
    spec = read_cluster(file)
    _check(spec, options)
    if detach:
        up_detached.start(spec, _arguments(file, options), port=port)
        return
    with open_view() as view:
        raise typer.Exit(asyncio.run(Foreground(file, options, view).run(spec)))


def _check(spec: ClusterSpec, options: LocalOptions) -> None:
    """Refuse what cannot be run.

    Raises:
        CommandError: it cannot; the message says what can.
    """
    if options.applied_to(spec).engine.type is EngineType.VLLM and find_spec("vllm") is None:
        fix = "install niyama[vllm], or on a machine without a GPU what docs/vllm.md says, or give --engine paced"
        raise CommandError(f"vLLM is not installed here: {fix}")
    if options.policy is not None and options.policy not in POLICIES:
        raise CommandError(f"{options.policy!r} is no policy: choose one of {', '.join(POLICIES)}", exit_code=2)
    for other in running_clusters():
        if any(router.endswith(f":{options.port}") for router in other.routers):
            what = f"{other.cluster} runs there already, as process {other.pid}"
            raise CommandError(f"port {options.port}: {what}: end it with `niyama down`, or choose another with --port")
    with told_plainly(BindError):
        check_ports(options.applied_to(spec), options)


def _arguments(file: Path, options: LocalOptions) -> list[str]:
    """Return the command line of the same cluster in the foreground."""
    named = [part for name, value in _named(file, options) if value is not None for part in (name, str(value))]
    return [*named, "--replay"] if options.replay else named


def _named(file: Path, options: LocalOptions) -> Iterator[tuple[str, object]]:
    yield "--file", file.absolute()
    yield "--engine", options.engine and options.engine.value
    yield "--replicas", options.replicas
    yield "--speed", options.speed
    yield "--policy", options.policy
    yield "--port", options.port
    yield "--redis", options.redis_url
    yield "--logs", options.logs and options.logs.absolute()
    yield "--decision-logs", options.decision_logs and options.decision_logs.absolute()
    yield "--iteration-records", options.iteration_records and options.iteration_records.absolute()

"""`niyama-operator --config FILE`: the operator as a process.

Exit status: 0 after SIGTERM, 1 when it could not start, 2 for wrong usage. Everything it says goes to the log on
standard error.
"""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import kopf
import structlog
from niyama_runtime import logs
from niyama_runtime.addresses import BindError
from niyama_runtime.clock import MonotonicClock
from niyama_runtime.config_file import ConfigError, ConfigFile
from niyama_runtime.metrics_server import MetricsServer
from niyama_runtime.shutdown import shutdown_event

from niyama_operator.control_loop import ControlLoop
from niyama_operator.handlers import build_registry, build_settings
from niyama_operator.kubernetes_api import KubernetesApi, connect
from niyama_operator.settings import OperatorSettings, parse_settings

__all__ = ["main"]

_log = structlog.get_logger("niyama_operator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an operator until SIGTERM or SIGINT, and return the exit status: 0 in good order, 1 when it cannot start."""
    parser = argparse.ArgumentParser(
        prog="niyama-operator",
        description="Turns NiyamaCluster resources into routers, replicas and all they need.",
        epilog="example: niyama-operator --config operator.yaml",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML or JSON")
    options = parser.parse_args(arguments)
    try:
        settings = ConfigFile(options.config, parse_settings).value
        logs.set_up(settings.log.level, as_json=settings.log.as_json)
        _quieten()
        asyncio.run(_run(settings))
    except (BindError, ConfigError) as error:
        sys.stderr.write(f"niyama-operator: {error}\n")
        return 1
    return 0


def _quieten() -> None:
    """Keep the libraries from telling of every event and every probe."""
    for name in ("kopf", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


async def _run(settings: OperatorSettings) -> None:
    api = await connect()
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{os.getpid()}"
    loop = ControlLoop(settings, api, identity=identity, clock=MonotonicClock())
    metrics = MetricsServer(loop.metrics.registry, settings.metrics) if settings.metrics else None
    with shutdown_event() as stop:
        work = asyncio.create_task(_work(settings, loop, stop=stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await _end(work, api)
            if metrics is not None:
                await metrics.stop()


async def _work(settings: OperatorSettings, loop: ControlLoop, *, stop: asyncio.Event) -> None:
    """Watch and reconcile until it is time to stop.

    Kopf puts signal handlers of its own over ours, so its end is what tells that a signal came.
    """
    await loop.wait_for_resource()
    async with asyncio.TaskGroup() as tasks:
        reconciling = tasks.create_task(loop.run())
        await kopf.operator(
            registry=build_registry(on_cluster=loop.hear_of_cluster, on_owned=loop.hear_of_owned),
            settings=build_settings(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            liveness_endpoint=f"http://{settings.health}/healthz" if settings.health else None,
            stop_flag=stop,
        )
        reconciling.cancel()


async def _end(work: "asyncio.Task[None]", api: KubernetesApi) -> None:
    """End the work, and close what it worked through.

    Whatever ended it by itself is raised.
    """
    work.cancel()
    try:
        with suppress(asyncio.CancelledError):
            await work
        _log.info("operator_stopped")
    finally:
        await api.close()


if __name__ == "__main__":
    sys.exit(main())

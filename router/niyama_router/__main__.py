"""`niyama-router --config FILE`: one router as a process.

Exit status: 0 after a drain, 1 when it could not start, 2 for wrong usage. When requests are taken, one JSON line on
standard output says where; everything else goes to the log on standard error.
"""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
from niyama_runtime import logs
from niyama_runtime.addresses import BindError
from niyama_runtime.config_file import ConfigError, ConfigFile
from niyama_runtime.load_board import RedisSettingsError
from niyama_runtime.shutdown import shutdown_event
from niyama_runtime.signatures import SigningKeyError
from niyama_runtime.tls import TlsError

from niyama_router.router import Endpoints, Router
from niyama_router.settings import RouterSettings, parse_settings

__all__ = ["main"]

_log = structlog.get_logger("niyama_router")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a router until SIGTERM or SIGINT, and return the exit status: 0 in good order, 1 when it cannot start."""
    parser = argparse.ArgumentParser(
        prog="niyama-router",
        description="Takes requests with promises and places them on replicas.",
        epilog="example: niyama-router --config router.yaml",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML or JSON; watched for changes")
    parser.add_argument("--router", metavar="NAME", help="this router's name, over that in the file")
    options = parser.parse_args(arguments)
    named = {} if options.router is None else {"router": options.router}
    try:
        config = ConfigFile(options.config, lambda document: parse_settings({**document, **named}))
        logs.set_up(config.value.log.level, as_json=config.value.log.as_json)
        asyncio.run(_run(config))
    except (ConfigError, BindError, TlsError, RedisSettingsError, SigningKeyError) as error:
        sys.stderr.write(f"niyama-router: {error}\n")
        return 1
    return 0


async def _run(config: ConfigFile[RouterSettings]) -> None:
    settings = config.value
    router = Router(settings)

    with shutdown_event() as stop:
        following = asyncio.create_task(_follow(config, router))
        try:
            await router.run(stop, lambda endpoints: _say_ready(settings, endpoints))
        finally:
            following.cancel()
    _log.info("router_stopped", router=settings.router)


async def _follow(config: ConfigFile[RouterSettings], router: Router) -> None:
    """Hand changes of the configuration to the router."""
    async for settings in config.changes():
        router.apply(settings)


def _say_ready(settings: RouterSettings, endpoints: Endpoints) -> None:
    # What was made until here lives as long as the process; the collector need not walk through it again and again.
    gc.collect()
    gc.freeze()
    line = {"event": "ready", "router": settings.router, "address": endpoints.grpc, "metrics": endpoints.metrics}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    _log.info("router_ready", address=endpoints.grpc, cluster=settings.cluster, router=settings.router)


if __name__ == "__main__":
    sys.exit(main())

"""`niyama-agent`: one replica as a process.

Exit status: 0 after a drain, 1 when it could not start or the engine died, 2 for wrong usage. When requests are
served, one JSON line on standard output says where; everything else goes to the log on standard error.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import structlog
from niyama_core.manifest_reader import ManifestError
from niyama_runtime import logs
from niyama_runtime.addresses import BindError
from niyama_runtime.clock import MonotonicClock
from niyama_runtime.config_file import ConfigError, ConfigFile
from niyama_runtime.load_board import RedisSettingsError
from niyama_runtime.shutdown import shutdown_event
from niyama_runtime.signatures import SigningKeyError
from niyama_runtime.tls import TlsError

from niyama_agent.agent import Agent, Endpoints
from niyama_agent.command_line import overlaid, parse_arguments
from niyama_agent.engine import EngineDiedError, EngineStartError
from niyama_agent.settings import AgentSettings, parse_settings

__all__ = ["main"]

# What an operator can mend; anything else is a bug and shows its traceback.
_CLEAR_ERRORS = (
    BindError,
    ConfigError,
    EngineDiedError,
    EngineStartError,
    ManifestError,
    OSError,
    RedisSettingsError,
    SigningKeyError,
    TlsError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an agent; return its exit status."""
    flags = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        settings, changes = _configuration(flags)
        logs.set_up(settings.log.level, as_json=settings.log.as_json)
        asyncio.run(_serve(settings, changes))
    except _CLEAR_ERRORS as error:
        sys.stderr.write(f"niyama-agent: {'; '.join(str(error).splitlines())}\n")
        return 1
    return 0


def _configuration(
    flags: argparse.Namespace,
) -> tuple[AgentSettings, Callable[[], AsyncIterator[AgentSettings]] | None]:
    """Return the settings, and who watches their file if there is one.

    Raises:
        ConfigError: the file cannot be used.
        ManifestError: without a file, the flags do not make a configuration.
    """

    def parse(document: Mapping[str, object]) -> AgentSettings:
        return parse_settings(overlaid(document, flags))

    if flags.config is None:
        return parse({}), None
    file = ConfigFile(flags.config, parse)
    return file.value, file.changes


async def _serve(settings: AgentSettings, changes: Callable[[], AsyncIterator[AgentSettings]] | None) -> None:
    agent = Agent(settings, MonotonicClock())
    with shutdown_event() as stop:
        watcher = asyncio.create_task(_follow(agent, changes)) if changes else None
        try:
            await agent.serve(stop, lambda endpoints: _say_ready(settings, endpoints))
        finally:
            if watcher is not None:
                watcher.cancel()


async def _follow(agent: Agent, changes: Callable[[], AsyncIterator[AgentSettings]]) -> None:
    async for settings in changes():
        agent.apply(settings)


def _say_ready(settings: AgentSettings, endpoints: Endpoints) -> None:
    engine = settings.engine.type.value
    line = {"event": "ready", "replica": settings.replica, "engine": engine, "address": endpoints.grpc}
    sys.stdout.write(json.dumps({**line, "metrics": endpoints.metrics}) + "\n")
    sys.stdout.flush()
    structlog.get_logger(__name__).info("ready", replica=settings.replica, address=endpoints.grpc, engine=engine)


if __name__ == "__main__":
    sys.exit(main())

"""Structured logs, set up once by each process's entry point.

Modules write `structlog.get_logger(__name__)` and log an event with key-values. What third parties send to the
standard library's logging comes out in the same form. Everything goes to standard error.
"""

import logging
import sys
from typing import TextIO

import structlog
from niyama_core.service_sections import LOG_LEVELS
from structlog.typing import Processor

__all__ = ["LEVELS", "set_up"]

LEVELS = LOG_LEVELS


def set_up(level: str = "info", *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send every log line of `level` and above to `stream` (standard error), as JSON or for a person to read.

    Calling it again replaces what was set up before. Raises ValueError for a level that is not in `LEVELS`.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}: use one of {', '.join(LEVELS)}")
    output = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared = _shared_processors()
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(output, as_json=as_json))
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendering(output: TextIO, *, as_json: bool) -> list[Processor]:
    """Return the steps that turn an event into a line."""
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if as_json:
        return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [strip, structlog.dev.ConsoleRenderer(colors=output.isatty())]

"""Who this agent is, as load reports, streams and `Describe` say it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata

__all__ = ["VERSION", "Identity"]

VERSION = metadata.version("niyama")
"""Of Niyama."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One start of one agent.

    Attributes:
        replica: name, unique in the cluster.
        model: served model name.
        locate: returns host:port where routers find it; the port is known once the server listens.
        incarnation: drawn at random, so that a restart is seen.
    """

    replica: str
    model: str
    locate: Callable[[], str]
    incarnation: int = field(default_factory=lambda: secrets.randbits(63))

"""The sections that the configuration files of all roles share: Redis, TLS, logs, addresses, paths.

Read alike everywhere, so that an operator who knows one role's file knows the others'. Problems are noted in the
reader, with the path of their field; whoever reads the whole file raises them together.
"""

from dataclasses import dataclass
from pathlib import Path

from niyama_core.manifest_reader import ManifestReader
from niyama_core.service_sections import read_redis_url

from niyama_runtime.addresses import BindError, parse_address
from niyama_runtime.logs import LEVELS
from niyama_runtime.redis_settings import RedisSettings
from niyama_runtime.tls import ClientTls, ServerTls

__all__ = [
    "LogSettings",
    "check_address",
    "read_client_tls",
    "read_log",
    "read_path",
    "read_redis",
    "read_server_tls",
]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a role logs: from which level on, and whether as JSON."""

    level: str
    as_json: bool


def read_log(reader: ManifestReader, key: str = "log") -> LogSettings:
    """Read how to log; readable lines from `info` on when nothing is said."""
    section = reader.section(key)
    level = section.text("level", "info")
    if level not in LEVELS:
        section.problem("level", f"{level!r} is unknown: choose one of {', '.join(LEVELS)}")
    log = LogSettings(level, as_json=section.flag("json", False))
    section.refuse_unknown()
    return log


def read_redis(reader: ManifestReader, key: str = "redis") -> RedisSettings | None:
    """Read where the load board's Redis is; None when nothing is said."""
    if key not in reader:
        return None
    section = reader.section(key)
    settings = RedisSettings(
        url=read_redis_url(section),
        password_file=read_path(section, "passwordFile"),
        timeout=section.duration("timeout", 0.5),
    )
    section.refuse_unknown()
    return settings


def read_server_tls(reader: ManifestReader, key: str = "tls") -> ServerTls | None:
    """Read what a server shows and asks of clients; None when nothing is said."""
    if key not in reader:
        return None
    section = reader.section(key)
    tls = ServerTls(
        certificate=Path(section.text("certificate")),
        key=Path(section.text("key")),
        client_ca=read_path(section, "clientCa"),
    )
    section.refuse_unknown()
    return tls


def read_client_tls(reader: ManifestReader, key: str) -> ClientTls | None:
    """Read how a server is spoken to; None when nothing is said."""
    if key not in reader:
        return None
    section = reader.section(key)
    tls = ClientTls(
        ca=read_path(section, "ca"), certificate=read_path(section, "certificate"), key=read_path(section, "key")
    )
    section.refuse_unknown()
    return tls


def read_path(section: ManifestReader, key: str) -> Path | None:
    """Read a path; None when nothing is said."""
    return Path(section.text(key)) if key in section else None


def check_address(reader: ManifestReader, key: str, *, address: str) -> str:
    """Return `address`, whose form is noted as a problem when it is none that a server could have."""
    try:
        if address:
            parse_address(address)
    except BindError as error:
        reader.problem(key, str(error))
    return address

"""The router's configuration: what its file may say, every mistake at once with the path of its field.

The operator and `niyama up` write the file; the router watches it. What it may change without a restart is in
`rules`; the rest, where it listens and whom it knows, is taken once. docs/requests.md shows every field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from niyama_core.manifest_reader import ManifestReader
from niyama_runtime.addresses import BindError, parse_address
from niyama_runtime.grpc_channel import MAX_MESSAGE_BYTES
from niyama_runtime.grpc_server import ServerSettings
from niyama_runtime.load_board import RedisSettings
from niyama_runtime.logs import LEVELS
from niyama_runtime.tls import ClientTls, ServerTls

from niyama_router.rules import Rules, read_rules

__all__ = ["LogSettings", "RouterSettings", "parse_settings"]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the router logs: from which level on, and whether as JSON."""

    level: str
    as_json: bool


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """What a router is told.

    Attributes:
        cluster: namespace/name.
        router: this router's name.
        server: where and how it listens.
        metrics: host:port of the metrics; None without.
        redis: the load board's; None without.
        replicas: host:port of replicas that are known without a load board.
        replica_tls: how replicas are spoken to; None without TLS.
        log: from which level on, and whether as JSON.
        rules: what may change.
    """

    cluster: str
    router: str
    server: ServerSettings
    metrics: str | None
    redis: RedisSettings | None
    replicas: tuple[str, ...]
    replica_tls: ClientTls | None
    log: LogSettings
    rules: Rules

    def differs_beyond_rules(self, other: "RouterSettings") -> bool:
        """Return whether anything differs that takes a restart to apply."""
        return replace(self, rules=other.rules) != other


def parse_settings(document: Mapping[str, object]) -> RouterSettings:
    """Return the settings that a configuration file holds.

    Raises:
        ManifestError: it has problems; all of them are in the error.
    """
    reader = ManifestReader(document)
    settings = RouterSettings(
        cluster=reader.text("cluster"),
        router=reader.text("router", "router"),
        server=_read_server(reader),
        metrics=_read_address(reader, "metrics") if "metrics" in reader else None,
        redis=_read_redis(reader),
        replicas=_read_replicas(reader),
        replica_tls=_read_replica_tls(reader),
        log=_read_log(reader.section("log")),
        rules=read_rules(reader),
    )
    if settings.redis is None and not settings.replicas:
        reader.problem("redis", "or replicas: give a load board, or the addresses of replicas, or both")
    reader.refuse_unknown()
    reader.raise_problems()
    return settings


def _read_server(reader: ManifestReader) -> ServerSettings:
    # gRPC itself says of a message that is too large neither which field nor what is allowed. So what is somewhat too
    # large is let in, for admission to refuse.
    return ServerSettings(
        address=_read_address(reader, "listen"),
        tls=_read_server_tls(reader),
        max_message_bytes=2 * MAX_MESSAGE_BYTES,
    )


def _read_address(reader: ManifestReader, key: str) -> str:
    return _checked_address(reader, key, address=reader.text(key))


def _read_replicas(reader: ManifestReader) -> tuple[str, ...]:
    return tuple(_checked_address(reader, "replicas", address=address) for address in reader.texts("replicas"))


def _checked_address(reader: ManifestReader, key: str, *, address: str) -> str:
    try:
        if address:
            parse_address(address)
    except BindError as error:
        reader.problem(key, str(error))
    return address


def _read_log(section: ManifestReader) -> LogSettings:
    level = section.text("level", "info")
    if level not in LEVELS:
        section.problem("level", f"{level!r} is unknown: choose one of {', '.join(LEVELS)}")
    log = LogSettings(level, as_json=section.flag("json", False))
    section.refuse_unknown()
    return log


def _read_redis(reader: ManifestReader) -> RedisSettings | None:
    if "redis" not in reader:
        return None
    section = reader.section("redis")
    url = section.text("url")
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        section.problem("url", f"{url!r} is no Redis URL: begin with redis://, rediss:// or unix://")
    settings = RedisSettings(
        url=url, password_file=_read_path(section, "passwordFile"), timeout=section.duration("timeout", 0.5)
    )
    section.refuse_unknown()
    return settings


def _read_server_tls(reader: ManifestReader) -> ServerTls | None:
    if "tls" not in reader:
        return None
    section = reader.section("tls")
    tls = ServerTls(
        certificate=Path(section.text("certificate")),
        key=Path(section.text("key")),
        client_ca=_read_path(section, "clientCa"),
    )
    section.refuse_unknown()
    return tls


def _read_replica_tls(reader: ManifestReader) -> ClientTls | None:
    if "replicaTls" not in reader:
        return None
    section = reader.section("replicaTls")
    tls = ClientTls(
        ca=_read_path(section, "ca"), certificate=_read_path(section, "certificate"), key=_read_path(section, "key")
    )
    section.refuse_unknown()
    return tls


def _read_path(section: ManifestReader, key: str) -> Path | None:
    return Path(section.text(key)) if key in section else None

"""The router's configuration: what its file may say, every mistake at once with the path of its field.

The operator and `niyama up` write the file; the router watches it. What it may change without a restart is in
`rules`; the rest, where it listens and whom it knows, is taken once. docs/requests.md shows every field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from niyama_core.manifest_reader import ManifestReader
from niyama_runtime.grpc_channel import MAX_MESSAGE_BYTES
from niyama_runtime.grpc_server import ServerSettings
from niyama_runtime.leases import DEFAULT_LEASE_SECONDS
from niyama_runtime.redis_settings import RedisSettings
from niyama_runtime.role_sections import (
    LogSettings,
    check_address,
    read_client_tls,
    read_log,
    read_path,
    read_redis,
    read_server_tls,
)
from niyama_runtime.tls import ClientTls

from niyama_router.rules import Rules, read_rules

__all__ = ["RouterSettings", "parse_settings"]


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
        replica_service: host:port of a name that stands for the address of each replica, such as a headless Service's;
            None without.
        resume_key_file: holds the key, shared by all routers, that signs resume tokens; None signs nothing.
        lease_key_file: holds the key, shared by routers and replicas, that signs leases; None signs nothing.
        lease_valid_for: seconds within which a stream must have begun by its lease.
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
    replica_service: str | None
    resume_key_file: Path | None
    lease_key_file: Path | None
    lease_valid_for: float
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
        redis=read_redis(reader),
        replicas=_read_replicas(reader),
        replica_service=_read_address(reader, "replicaService") if "replicaService" in reader else None,
        resume_key_file=read_path(reader, "resumeKeyFile"),
        lease_key_file=read_path(reader, "leaseKeyFile"),
        lease_valid_for=reader.duration("leaseValidFor", DEFAULT_LEASE_SECONDS),
        replica_tls=read_client_tls(reader, "replicaTls"),
        log=read_log(reader),
        rules=read_rules(reader),
    )
    if settings.redis is None and not settings.replicas and settings.replica_service is None:
        reader.problem("redis", "or replicas: give a load board, or the addresses of replicas, or both")
    reader.refuse_unknown()
    reader.raise_problems()
    return settings


def _read_server(reader: ManifestReader) -> ServerSettings:
    # gRPC itself says of a message that is too large neither which field nor what is allowed. So what is somewhat too
    # large is let in, for admission to refuse.
    return ServerSettings(
        address=_read_address(reader, "listen"),
        tls=read_server_tls(reader),
        max_message_bytes=2 * MAX_MESSAGE_BYTES,
        max_connection_age=reader.duration("maxConnectionAge") if "maxConnectionAge" in reader else None,
    )


def _read_address(reader: ManifestReader, key: str) -> str:
    return check_address(reader, key, address=reader.text(key))


def _read_replicas(reader: ManifestReader) -> tuple[str, ...]:
    return tuple(check_address(reader, "replicas", address=address) for address in reader.texts("replicas"))

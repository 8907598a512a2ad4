"""The client that a Redis URL asks for: of one server, of the one that Sentinels call master, or of a cluster's node.

Where a master or node is may change. It is asked for whenever a connection is made, and connections are made anew after
every fault. All keys of a load board lie on one node of a cluster, so a plain connection to that node does.
"""

import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import redis.asyncio
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.credentials import CredentialProvider

from niyama_runtime.addresses import Address, BindError, parse_address
from niyama_runtime.redis_settings import RedisSettings, RedisSettingsError

__all__ = ["FAULTS", "Client", "location", "open_client"]

Client = redis.asyncio.Redis

FAULTS = (redis.RedisError, OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError)
"""What redis-py raises: beside its own errors, what a broken, closed or foreign connection makes of its parsers."""

_SINGLE = ("redis", "rediss", "unix")
_SENTINEL = ("redis-sentinel", "rediss-sentinel")
_CLUSTER = ("redis-cluster", "rediss-cluster")
_TIMEOUTS = ("socket_timeout", "socket_connect_timeout")

Lookup = Callable[[Client], Coroutine[Any, Any, tuple[str, int]]]


def open_client(settings: RedisSettings, *, key: str = "") -> Client:
    """Return a client, which connects with its first use; of a cluster, to the node that has `key`.

    Raises:
        RedisSettingsError: the URL is none, or there is a password in it and in a file.
    """
    parts = _parsed(settings.url)
    try:
        credentials = _credentials(settings, parts)
        options = _options(settings, credentials)
        if parts.scheme in _SINGLE:
            # redis-py does not take a user in the URL beside credentials that hold one.
            url = settings.url.replace(f"//{parts.netloc}", f"//{_hosts(parts)}", 1) if credentials else settings.url
            return Client.from_url(url, **options)
        return _looked_up(parts, options, key=key)
    except RedisSettingsError:
        raise
    except (TypeError, ValueError, redis.RedisError) as error:
        raise RedisSettingsError(f"the Redis URL of {location(settings)} cannot be used: {error}") from error


def location(settings: RedisSettings) -> str:
    """Return hosts and ports, or the socket's path, without the credentials: safe in logs.

    Raises:
        RedisSettingsError: the URL is none.
    """
    parts = _parsed(settings.url)
    return _hosts(parts) or parts.path


def _options(settings: RedisSettings, credentials: CredentialProvider | None) -> dict[str, Any]:
    return {
        "credential_provider": credentials,
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        # The caller's next use is the retry.
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }


def _looked_up(parts: SplitResult, options: Mapping[str, Any], *, key: str) -> Client:
    """Return a client whose server is looked up each time that it connects."""
    path = parts.path.strip("/")
    name, _, database = path.partition("/") if parts.scheme in _SENTINEL else ("", "", path)
    of_url = parse_url(_of_one(parts, database=database))
    # The pool has classes of its own, with and without TLS.
    is_tls = of_url.pop("connection_class", None) is not None
    kwargs: dict[str, Any] = {**of_url, **{name: value for name, value in options.items() if value is not None}}
    lookup = _master_of(name) if parts.scheme in _SENTINEL else _node_of(key)
    if options["credential_provider"]:
        kwargs.pop("username", None)
    guides = _Guides(_addresses(parts), lookup, options=_of_guides(kwargs, is_tls, has_users=not name))
    return Client.from_pool(SentinelConnectionPool(name, guides, ssl=is_tls, **kwargs))  # type: ignore[no-untyped-call]


def _of_guides(kwargs: Mapping[str, Any], is_tls: bool, *, has_users: bool) -> dict[str, Any]:
    """Return how those are spoken to that know the way: nodes with user and password, Sentinels without."""
    left_out = {"host", "port", "db", *(() if has_users else ("username", "password", "credential_provider"))}
    return {"ssl": is_tls, **{name: value for name, value in kwargs.items() if name not in left_out}}


class _Guides:
    """Those that know where the server is, asked one after the other; to redis-py, what asks the Sentinels."""

    def __init__(self, addresses: Sequence[Address], lookup: Lookup, *, options: Mapping[str, Any]) -> None:
        self._addresses = list(addresses)
        self._lookup = lookup
        # All of them have to be asked within the time of one use.
        self._options = {**options, **{name: options[name] / len(addresses) for name in _TIMEOUTS}}

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port, as the first says who answers; that one is asked first the next time."""
        for address in list(self._addresses):
            with contextlib.suppress(*FAULTS):
                found = await self._ask(address)
                self._addresses.sort(key=lambda each: each != address)
                return found
        raise redis.ConnectionError("none of them says where it is")

    async def _ask(self, address: Address) -> tuple[str, int]:
        async with Client(host=address.host, port=address.port, **self._options) as client:
            host, port = await self._lookup(client)
            # A node that does not know its own address means the one at which it was asked.
            return host or address.host, port


def _master_of(name: str) -> Lookup:
    async def ask(sentinel: Client) -> tuple[str, int]:
        host, port = await _said_by(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        return host.decode(), int(port)

    return ask


def _node_of(key: str) -> Lookup:
    slot = key_slot(key.encode())

    async def ask(node: Client) -> tuple[str, int]:
        for first, last, (host, port, *_), *_ in await _said_by(node, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return (host or b"").decode(), int(port)
        raise redis.ConnectionError(f"no node of the cluster has slot {slot}")

    return ask


async def _said_by(guide: Client, *command: str) -> Any:  # noqa: ANN401, whatever a server says
    """Return an answer as it came: redis-py has parsers for commands, which it does not know by their first word."""
    return await guide.execute_command(*command)  # type: ignore[no-untyped-call]


def _parsed(url: str) -> SplitResult:
    """Return the parts of `url`; errors do not quote it, for there may be a password in it."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _SINGLE and parts.port != 0:  # reading the port checks it
            return parts
        if parts.scheme in (*_SENTINEL, *_CLUSTER) and _addresses(parts):
            if parts.scheme in _CLUSTER or parts.path.strip("/"):
                return parts
            raise RedisSettingsError("a URL of Sentinels names the master: write redis-sentinel://HOST:PORT,.../MASTER")
    except (ValueError, BindError) as error:
        if isinstance(error, RedisSettingsError):
            raise
    raise RedisSettingsError(
        "this is no Redis URL: write redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH, "
        "redis-sentinel://HOST:PORT,HOST:PORT/MASTER or redis-cluster://HOST:PORT,HOST:PORT"
    )


def _addresses(parts: SplitResult) -> list[Address]:
    return [parse_address(host) for host in _hosts(parts).split(",")]


def _of_one(parts: SplitResult, *, database: str) -> str:
    """Return a URL of one server, with all else that the URL of several says."""
    user, at, hosts = parts.netloc.rpartition("@")
    scheme = parts.scheme.partition("-")[0]
    return parts._replace(scheme=scheme, netloc=f"{user}{at}{hosts.split(',')[0]}", path=f"/{database}").geturl()


def _credentials(settings: RedisSettings, parts: SplitResult) -> CredentialProvider | None:
    """Return who knows user and password, when the password is in a file."""
    if settings.password_file is None:
        return None
    if parts.password:
        raise RedisSettingsError("the Redis URL holds a password, and there is a password file: leave one out")
    credentials = _PasswordFile(settings.password_file, unquote(parts.username or ""))
    credentials.get_credentials()
    return credentials


def _hosts(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


class _PasswordFile(CredentialProvider):
    """Reads the password whenever a connection is made."""

    def __init__(self, file: Path, user: str) -> None:
        self._file = file
        self._user = user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return user and password.

        Raises:
            RedisSettingsError: the file cannot be read.
        """
        try:
            password = self._file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RedisSettingsError(f"cannot read the Redis password from {self._file}: {error}") from error
        return (self._user, password) if self._user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return user and password."""
        return self.get_credentials()

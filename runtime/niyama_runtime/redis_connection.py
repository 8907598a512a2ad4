"""The door to Redis: every use of it is bounded in time, and every fault is one error.

Redis holds hints. Whoever asks must never wait for it longer than a bound, nor know what can go wrong with a
socket. After a fault the next attempts fail at once until a back-off with jitter is over, so that a Redis that hangs
costs its callers one timeout and not one each time.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import redis.asyncio
import structlog
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from niyama_runtime.backoff import Backoff
from niyama_runtime.clock import Clock, MonotonicClock
from niyama_runtime.redis_settings import RedisSettings, RedisSettingsError

__all__ = ["RedisConnection", "RedisSettings", "RedisSettingsError", "RedisUnavailableError"]

T = TypeVar("T")
Client = redis.asyncio.Redis

# Beside its own errors redis-py lets through what a broken, closed or foreign connection makes of its parsers.
_FAULTS = (redis.RedisError, OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError)

_SCHEMES = ("redis", "rediss", "unix")
# How long a subscription is silent before it is asked whether it lives.
_QUIET_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class RedisUnavailableError(Exception):
    """Redis did not do what was asked, within the bound or at all. It may be back later."""


class RedisConnection:
    """A client that fails fast.

    Attributes:
        num_faults: uses that failed, those that a back-off refused left out.
    """

    def __init__(self, settings: RedisSettings, *, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        """Prepare to connect; nothing is sent before the first use.

        Raises:
            RedisSettingsError: the URL is none, or there is a password in it and in a file.
        """
        self._client = _client(settings)
        self._timeout = settings.timeout
        self._backoff = backoff or Backoff()
        self._clock = clock or MonotonicClock()
        self._retry_at = -math.inf
        self._fault: str | None = None
        self._where = _location(_parsed_url(settings.url))
        self.num_faults = 0

    @property
    def is_available(self) -> bool:
        """Whether the last use went well; true before the first."""
        return self._fault is None

    async def use(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Return what `work` gets from the client.

        Raises:
            RedisUnavailableError: it failed, took too long, or a back-off is not over.
        """
        if self._clock.now() < self._retry_at:
            raise RedisUnavailableError(f"Redis at {self._where} is away: {self._fault}")
        try:
            async with asyncio.timeout(self._timeout):
                result = await work(self._client)
        except _FAULTS as error:
            self._note_fault(error)
            raise RedisUnavailableError(f"Redis at {self._where} is away: {self._fault}") from error
        self._note_success()
        return result

    async def run_script(self, script: str, *, keys: Sequence[str], arguments: Sequence[str | bytes | float]) -> object:
        """Return what a Lua script returns; it is atomic and takes one round trip.

        Raises:
            RedisUnavailableError: as `use`.
        """
        # The text each time, not its hash: a Redis that was restarted does not know the hash.
        return await self.use(lambda client: client.eval(script, len(keys), *keys, *arguments))

    async def messages(self, channel: str) -> AsyncGenerator[bytes, None]:
        """Yield what is published on `channel`, for ever: it connects again by itself and raises nothing.

        What is published while the connection is down is missed.
        """
        backoff = Backoff()
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(channel)
                    while True:
                        message = await self._next_message(subscription)
                        backoff.reset()
                        yield message
            except _FAULTS as error:
                _log.debug("redis_subscription_lost", redis=self._where, error=repr(error))
            await asyncio.sleep(backoff.next_delay())

    async def _next_message(self, subscription: PubSub) -> bytes:
        """Return the next message; a connection that is silent for long is asked whether it lives."""
        asked = False
        while True:
            message = await subscription.get_message(timeout=self._timeout if asked else _QUIET_SECONDS)
            if message is None:
                if asked:
                    raise TimeoutError("no answer to a ping")
                await subscription.ping()
                asked = True
            elif message["type"] == "message":
                return bytes(message["data"])
            else:
                asked = False

    async def close(self) -> None:
        """Close all connections; never fails."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.aclose()
        except _FAULTS as error:
            _log.debug("redis_close_failed", redis=self._where, error=repr(error))

    def _note_fault(self, error: BaseException) -> None:
        self.num_faults += 1
        if self._fault is None:
            _log.warning("redis_away", redis=self._where, error=repr(error))
        self._fault = _reason(error, self._timeout)
        self._retry_at = self._clock.now() + self._backoff.next_delay()

    def _note_success(self) -> None:
        if self._fault is not None:
            _log.info("redis_back", redis=self._where)
        self._fault = None
        self._backoff.reset()


def _reason(error: BaseException, timeout: float) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer within {timeout:g} s"
    return str(error) or type(error).__name__


def _client(settings: RedisSettings) -> Client:
    parts = _parsed_url(settings.url)
    credentials = _credentials(settings, parts)
    # redis-py does not take a user in the URL beside credentials that hold one.
    url = settings.url.replace(f"//{parts.netloc}", f"//{_host(parts)}", 1) if credentials else settings.url
    try:
        return redis.asyncio.Redis.from_url(
            url,
            credential_provider=credentials,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
            # The caller's next use is the retry.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except (TypeError, ValueError, redis.RedisError) as error:
        raise RedisSettingsError(f"the Redis URL of {_location(parts)} cannot be used: {error}") from error


def _parsed_url(url: str) -> SplitResult:
    """Return the parts of `url`; errors do not quote it, for there may be a password in it."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _SCHEMES and parts.port != 0:  # reading the port checks it
            return parts
    except ValueError:
        pass
    raise RedisSettingsError("this is no Redis URL: write redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH")


def _credentials(settings: RedisSettings, parts: SplitResult) -> CredentialProvider | None:
    """Return who knows user and password, when the password is in a file."""
    if settings.password_file is None:
        return None
    if parts.password:
        raise RedisSettingsError("the Redis URL holds a password, and there is a password file: leave one out")
    credentials = _PasswordFile(settings.password_file, unquote(parts.username or ""))
    credentials.get_credentials()
    return credentials


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _location(parts: SplitResult) -> str:
    """Return host and port, or the socket's path, without the credentials: safe in logs."""
    return _host(parts) or parts.path


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

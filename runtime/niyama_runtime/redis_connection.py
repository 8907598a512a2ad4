"""The door to Redis: every use of it is bounded in time, and every fault is one error.

Redis holds hints. Whoever asks must never wait for it longer than a bound, nor know what can go wrong with a
socket. After a fault the next attempts fail at once until a back-off with jitter is over, so that a Redis that hangs
costs its callers one timeout and not one each time.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from redis.asyncio.client import PubSub

from niyama_runtime.backoff import Backoff
from niyama_runtime.clock import Clock, MonotonicClock
from niyama_runtime.redis_client import FAULTS, Client, location, open_client
from niyama_runtime.redis_settings import RedisSettings, RedisSettingsError

__all__ = ["Client", "RedisConnection", "RedisSettings", "RedisSettingsError", "RedisUnavailableError"]

T = TypeVar("T")

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

    def __init__(
        self, settings: RedisSettings, *, key: str = "", backoff: Backoff | None = None, clock: Clock | None = None
    ) -> None:
        """Prepare to connect; nothing is sent before the first use. In a cluster only the node of `key` is used.

        Raises:
            RedisSettingsError: the URL is none, or there is a password in it and in a file.
        """
        self._client = open_client(settings, key=key)
        self._timeout = settings.timeout
        self._backoff = backoff or Backoff()
        self._clock = clock or MonotonicClock()
        self._retry_at = -math.inf
        self._fault: str | None = None
        self._where = location(settings)
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
        except FAULTS as error:
            self._note_fault(error)
            await self._connect_anew()
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
            except FAULTS as error:
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

    async def _connect_anew(self) -> None:
        """Drop the connection that is idle by now: the server behind it may not be the one to ask any more."""
        with contextlib.suppress(*FAULTS):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all connections; never fails."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.aclose()
        except FAULTS as error:
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

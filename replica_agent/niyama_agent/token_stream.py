"""Between an engine that must not wait and a reader that may be slow: one request's events.

The engine puts, the reader takes. Tokens that the reader has not taken yet become one event, so what waits is
bounded by the answer's length and the engine is never held up.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from niyama_agent.engine import (
    Admitted,
    EngineError,
    EngineEvent,
    LastEvent,
    Relegated,
    TokensEmitted,
)

__all__ = ["TokenStream"]


class TokenStream:
    """The events of one request that its reader has not taken yet. One task reads.

    Args:
        position: how many tokens of the answer came before the first that will be put.
    """

    def __init__(self, position: int = 0) -> None:
        """Start with nothing to read."""
        self._position = position
        self._notices: deque[Admitted | Relegated] = deque()
        self._token_ids: list[int] = []
        self._text: list[str] = []
        self._emitted_at: list[float] = []
        self._last: LastEvent | None = None
        self._failure: EngineError | None = None
        self._changed = asyncio.Event()

    def notify(self, notice: Admitted | Relegated) -> None:
        """Put an event that is read before the tokens that wait."""
        self._notices.append(notice)
        self._changed.set()

    def put(self, token_ids: Sequence[int], text: str, *, emitted_at: float) -> None:
        """Put tokens that were emitted at one instant, and the text that they complete."""
        self._token_ids += token_ids
        self._text.append(text)
        self._emitted_at += [emitted_at] * len(token_ids)
        self._changed.set()

    def end(self, last: LastEvent) -> None:
        """Put the last event; what waits is read before it."""
        self._last = last
        self._changed.set()

    def fail(self, error: EngineError) -> None:
        """Let the reader fail once it has read what waits."""
        self._failure = error
        self._changed.set()

    async def next_event(self) -> EngineEvent:
        """Wait for an event and take it. After a `LastEvent` there is nothing more to wait for.

        Raises:
            EngineError: the engine could not go on, and everything before that has been read.
        """
        while (event := self._take()) is None:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        return event

    def _take(self) -> EngineEvent | None:
        if self._notices:
            return self._notices.popleft()
        if self._token_ids or any(self._text):
            return self._take_tokens()
        return self._last

    def _take_tokens(self) -> TokensEmitted:
        token_ids, emitted_at = tuple(self._token_ids), tuple(self._emitted_at)
        event = TokensEmitted(self._position, token_ids, "".join(self._text), emitted_at)
        self._position += len(token_ids)
        self._token_ids.clear()
        self._text.clear()
        self._emitted_at.clear()
        return event

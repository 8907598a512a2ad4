"""One generation as the application sees it: tokens to loop over, and what was promised and what became of it.

Leaving the loop, by `break` or by an exception, cancels the call; so does being cancelled. What is computed for a
reader who has gone is computed in vain.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
from niyama_runtime.cancellation import is_task_cancelled
from niyama_runtime.status import failure_of

from niyama_client.answers import Accepted, Completion, Token
from niyama_client.retries import Patience
from niyama_client.routes import Route, RouteFailedError
from niyama_client.transcript import Transcript

__all__ = ["Generation"]


class Generation:
    """Tokens as they come: `async for token in generation`. It can be looped over once.

    Nothing is sent before the loop begins. A call that fails is tried again as far as the client's `Retries` go: from
    the beginning while no token has been delivered, later from where it broke off, at whichever router answers. Where
    that cannot be, an error says how far the answer came.

    Attributes:
        request_id: by which the request is known in logs.
        num_calls: how often it has been sent; more than once when a router was lost on the way.
    """

    def __init__(self, request_id: str, route: Route, *, patience: Patience) -> None:
        self.request_id = request_id
        self.num_calls = 0
        self._route = route
        self._patience = patience
        self._transcript = Transcript()
        self._begun = False
        self._cancelled = False

    @property
    def accepted(self) -> Accepted:
        """What was promised, from the first token on.

        Raises RuntimeError before.
        """
        if self._transcript.accepted is None:
            raise RuntimeError("the request has not been accepted yet: read the first token before")
        return self._transcript.accepted

    @property
    def completion(self) -> Completion:
        """What happened in the end.

        Raises RuntimeError before the last token has been read.
        """
        if self._transcript.completion is None:
            raise RuntimeError("the generation has not completed: read it to its end before")
        return self._transcript.completion

    @property
    def tokens(self) -> tuple[Token, ...]:
        """What has been delivered so far."""
        return tuple(self._transcript.tokens)

    @property
    def is_relegated(self) -> bool:
        """Whether the server has said that the promise can no longer be kept; the request is served all the same."""
        return self._transcript.is_relegated

    async def text(self) -> str:
        """Read the generation to its end and return the whole answer.

        Raises:
            NiyamaError: it failed.
        """
        return "".join([token.text async for token in self])

    def cancel(self) -> None:
        """End the generation; a loop over it ends at once, without an error."""
        self._cancelled = True
        self._route.cancel()

    def __aiter__(self) -> AsyncGenerator[Token, None]:
        """Begin.

        Raises:
            NiyamaError: from the iterator, when the generation fails.
            RuntimeError: it has been begun before.
        """
        if self._begun:
            raise RuntimeError("a generation can be looped over once: ask for another")
        self._begun = True
        # Held by the loop alone, so that leaving the loop closes it, and that cancels the call.
        return self._attempts()

    async def _attempts(self) -> AsyncGenerator[Token, None]:
        while not (self._cancelled or self._transcript.completion):
            num_before = len(self._transcript.tokens)
            try:
                async with aclosing(self._attempt()) as tokens:
                    async for token in tokens:
                        yield token
            except (grpc.aio.AioRpcError, RouteFailedError) as error:
                if len(self._transcript.tokens) > num_before:
                    self._patience.renew()
                failure = error.failure if isinstance(error, RouteFailedError) else failure_of(error)
                can_go_on = self._transcript.resume() is not None
                await self._patience.wait_after(failure, self._transcript.tokens, can_go_on=can_go_on)

    async def _attempt(self) -> AsyncGenerator[Token, None]:
        self.num_calls += 1
        try:
            async with aclosing(self._route.stream(self._transcript)) as messages:
                async for message in messages:
                    for token in self._transcript.take(message):
                        yield token
            self._transcript.end()
        except asyncio.CancelledError:
            if not self._cancelled or is_task_cancelled():
                raise

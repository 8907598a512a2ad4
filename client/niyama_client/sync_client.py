"""The synchronous client: the asynchronous one behind a portal.

Nothing is written twice. A `SyncClient` owns one event loop in a thread of its own, in which a `Client` does all the
work; each call here hands one coroutine over and waits for it. It may be used from several threads at a time.
"""

from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Unpack

from niyama_runtime.tls import ClientTls

from niyama_client.answers import Accepted, Completion, Token
from niyama_client.client import Client
from niyama_client.cluster import ClusterStatus, Description
from niyama_client.connection import DEFAULT_ADDRESS
from niyama_client.generation import Generation
from niyama_client.portal import Portal
from niyama_client.quotes import ClassQuote
from niyama_client.requests import GenerateOptions, Prompt, Qos
from niyama_client.retries import Retries
from niyama_client.routes import Mode

__all__ = ["SyncClient", "SyncGeneration"]


class SyncClient:
    """A client of one cluster, for code that does not use asyncio; arguments and errors are those of `Client`.

    with SyncClient("localhost:50051") as client:
        for token in client.generate("Hello", qos="chat"):
            print(token, end="", flush=True)
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        tls: ClientTls | None = None,
        retries: Retries | None = None,
        app: str = "",
        through_proxy: bool = False,
        mode: Mode = Mode.ROUTED,
    ) -> None:
        self._client = Client(address, tls=tls, retries=retries, app=app, through_proxy=through_proxy, mode=mode)
        self.address = self._client.address
        self._portal = Portal("niyama-client")

    def generate(
        self, prompt: Prompt, *, qos: Qos | None = None, **options: Unpack[GenerateOptions]
    ) -> "SyncGeneration":
        """Ask for an answer; loop over what this returns. See `Client.generate`."""

        async def begin() -> Generation:
            return self._client.generate(prompt, qos=qos, **options)

        return SyncGeneration(self._portal.call(begin()), self._portal)

    def status(self) -> ClusterStatus:
        """Return how the cluster fares. See `Client.status`."""
        return self._portal.call(self._client.status())

    def describe(self) -> Description:
        """Return what the cluster serves. See `Client.describe`."""
        return self._portal.call(self._client.describe())

    def quote(
        self,
        num_prompt_tokens: int,
        *,
        num_output_tokens: int | None = None,
        app: str | None = None,
        confidence: float = 0.95,
    ) -> tuple[ClassQuote, ...]:
        """Return which times could be promised at this moment. See `Client.quote`."""
        asked = self._client.quote(
            num_prompt_tokens, num_output_tokens=num_output_tokens, app=app, confidence=confidence
        )
        return self._portal.call(asked)

    def close(self) -> None:
        """Close the channel and end the thread; generations that run are cancelled. Closing twice does nothing."""
        if self._portal.is_open:
            self._portal.call(self._client.close())
            self._portal.close()

    def __enter__(self) -> "SyncClient":
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SyncGeneration:
    """Tokens as they come: `for token in generation`. See `Generation`."""

    def __init__(self, generation: Generation, portal: Portal) -> None:
        self._generation = generation
        self._portal = portal

    @property
    def request_id(self) -> str:
        """By which the request is known in logs."""
        return self._generation.request_id

    @property
    def accepted(self) -> Accepted:
        """What was promised, from the first token on; raises RuntimeError before."""
        return self._generation.accepted

    @property
    def completion(self) -> Completion:
        """What happened in the end; raises RuntimeError before the last token has been read."""
        return self._generation.completion

    @property
    def tokens(self) -> tuple[Token, ...]:
        """What has been delivered so far."""
        return self._generation.tokens

    @property
    def is_relegated(self) -> bool:
        """Whether the server has said that the promise can no longer be kept."""
        return self._generation.is_relegated

    def text(self) -> str:
        """Read the generation to its end and return the whole answer.

        Raises:
            NiyamaError: it failed.
        """
        return self._portal.call(self._generation.text())

    def cancel(self) -> None:
        """End the generation, from whatever thread; a loop over it ends at once, without an error."""

        async def cancel() -> None:
            self._generation.cancel()

        self._portal.call(cancel())

    def __iter__(self) -> Iterator[Token]:
        """Begin; leaving the loop cancels the call."""
        tokens = aiter(self._generation)
        try:
            while (token := self._portal.call(_next(tokens))) is not None:
                yield token
        finally:
            self._portal.call(_closed(tokens))


async def _next(tokens: AsyncGenerator[Token, None]) -> Token | None:
    return await anext(tokens, None)


async def _closed(tokens: AsyncGenerator[Token, None]) -> None:
    await tokens.aclose()

"""From the replica itself where its address can be reached, else through a router.

Which of the two it is shows when the first connection is made. A request that turns to a router keeps what it has:
arrival and promise by the token of its place, tokens by the transcript.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
from niyama.v1 import generation_pb2
from niyama_runtime import verdict

from niyama_client.direct_route import DirectRoute, ReplicaUnreachableError
from niyama_client.replica_channels import Reachability
from niyama_client.routes import RoutedRoute
from niyama_client.transcript import Transcript

__all__ = ["AutoRoute"]


class AutoRoute:
    """One request, direct for as long as that goes."""

    def __init__(self, direct: DirectRoute, routed: RoutedRoute, *, reachability: Reachability) -> None:
        """Prefer `direct`."""
        self._direct = direct
        self._routed = routed
        self._is_direct = reachability.is_likely
        self._had_tokens = False

    async def stream(self, transcript: Transcript) -> AsyncGenerator[generation_pb2.GenerateResponse, None]:
        """Yield what replicas say, or a router."""
        if self._is_direct:
            try:
                async with aclosing(self._direct.stream(transcript)) as messages:
                    async for message in messages:
                        yield message
                return
            except ReplicaUnreachableError:
                self._turn(transcript)
            except grpc.aio.AioRpcError as error:
                # A router of before Place was built.
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                self._turn(transcript)
        async with aclosing(self._routed.stream(transcript)) as messages:
            async for message in messages:
                if message.WhichOneof("event") == "completion":
                    self._judge(message.completion, transcript)
                yield message

    def cancel(self) -> None:
        """End what is under way."""
        self._direct.cancel()
        self._routed.cancel()

    def _turn(self, transcript: Transcript) -> None:
        """Go through routers from here on."""
        self._is_direct = False
        self._had_tokens = bool(transcript.tokens)
        if self._direct.places.resume_token:
            self._routed.begin_with(self._direct.places.resume_token)

    def _judge(self, completion: generation_pb2.Completion, transcript: Transcript) -> None:
        """Add what the router, which saw the end of it only, does not know."""
        completion.num_moves += self._direct.num_moves
        if self._had_tokens and transcript.accepted is not None:
            emitted = [token.emitted for token in transcript.tokens]
            verdict.judge(completion, transcript.accepted.promise, emitted=emitted)

"""Where a request should be, as routers say: what the client asks them, first and after each replica that it leaves."""

import asyncio

import grpc
from niyama.v1 import generation_pb2, inference_pb2, inference_pb2_grpc
from niyama_runtime.status import Failure, failure_of

from niyama_client.retries import Patience
from niyama_client.routes import Cancellable, RouteFailedError

__all__ = ["Places"]

_NOBODY = "NO_REPLICA"
# While it is asked, the request waits where it is.
_RESCUE_SECONDS = 1.0


class Places:
    """Asks for places of one request.

    Attributes:
        resume_token: of the first place; empty before.
        refusal: why the last replica would not do, such as for want of room; it is the answer when there is no other.
        asking: the call that is under way, or was last; None before.
    """

    def __init__(
        self,
        request: generation_pb2.GenerateRequest,
        stub: "inference_pb2_grpc.InferenceAsyncStub",
        *,
        patience: Patience,
    ) -> None:
        """Ask routers by `stub`."""
        self._request = request
        self._stub = stub
        self._patience = patience
        self._excluded: set[str] = set()
        self._relegated_at: set[str] = set()
        self._began: float | None = None
        self.resume_token = b""
        self.refusal: Failure | None = None
        self.asking: Cancellable | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the request arrived at the router.

        Counted from when it was sent: the way to the router is taken to be as long as that to the replica.
        """
        return 0.0 if self._began is None else asyncio.get_running_loop().time() - self._began

    def exclude(self, replica: str) -> None:
        """Ask for others than a replica that failed, or gave the request back."""
        self._excluded.add(replica)

    async def ask(self, num_delivered: int) -> inference_pb2.PlaceResponse:
        """Return a place, behind so many tokens of the answer.

        Raises:
            grpc.aio.AioRpcError: no router gives one.
            RouteFailedError: there is no other replica than those that would not do.
        """
        sent = asyncio.get_running_loop().time()
        try:
            place = await self._call(self._asked(num_delivered), timeout=self._patience.seconds_left())
        except grpc.aio.AioRpcError as error:
            if failure_of(error).reason == _NOBODY:
                self._note_nobody()
            raise
        self._began = sent if self._began is None else self._began
        self.resume_token = place.resume_token
        return place

    async def ask_rescue(self, replica: str) -> inference_pb2.PlaceResponse | None:
        """Return where a request can be on time that this replica has relegated; None when nobody knows."""
        self._relegated_at.add(replica)
        asked = self._asked(0)
        asked.only_on_time = True
        asked.excluded_replicas.extend(self._relegated_at - self._excluded)
        left = self._patience.seconds_left()
        try:
            place = await self._call(asked, timeout=_RESCUE_SECONDS if left is None else min(left, _RESCUE_SECONDS))
        except grpc.aio.AioRpcError:
            return None
        return place if place.replica else None

    async def _call(
        self,
        asked: inference_pb2.PlaceRequest,
        *,
        timeout: float | None,  # noqa: ASYNC109, gRPC's own
    ) -> inference_pb2.PlaceResponse:
        call = self.asking = self._stub.Place(asked, timeout=timeout, metadata=self._patience.metadata)
        return await call

    def _note_nobody(self) -> None:
        """Ask for anybody the next time: those who were excluded may have come back.

        Raises:
            RouteFailedError: there is a better reason than that there is nobody.
        """
        self._excluded.clear()
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise RouteFailedError(refusal)

    def _asked(self, num_delivered: int) -> inference_pb2.PlaceRequest:
        request = self._request
        return inference_pb2.PlaceRequest(
            request_id=request.request_id,
            num_prompt_tokens=len(request.prompt_tokens.ids) + num_delivered,
            num_prompt_bytes=_num_bytes(request),
            max_tokens=request.max_tokens,
            qos=request.qos,
            app=request.app,
            excluded_replicas=sorted(self._excluded),
            resume_token=self.resume_token,
        )


def _num_bytes(request: generation_pb2.GenerateRequest) -> int:
    """Return the length of the text that a replica will tokenise."""
    return sum(len(text.encode()) for text in (request.prompt, *(turn.content for turn in request.chat.messages)))

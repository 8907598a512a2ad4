"""A router that does as a test says, over real gRPC on loopback."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import duration_pb2
from niyama.v1 import describe_pb2, generation_pb2, inference_pb2, inference_pb2_grpc
from niyama_core.slo import Interactive, Promise
from niyama_runtime.status import Failure, abort
from niyama_runtime.wire import duration_to_wire, promise_to_wire

__all__ = ["ScriptedRouter", "Step", "accepted", "answer", "completion", "relegated", "serve", "tokens"]

Step = generation_pb2.GenerateResponse | Failure | float
"""What a stream does next: say something, fail, or wait so many seconds."""


class ScriptedRouter(inference_pb2_grpc.InferenceServicer):
    """Plays one script a call; the last one again and again.

    Attributes:
        requests: what has been asked.
        num_ended_early: streams whose client left before the end of the script.
        asked: set by the first request.
        left: set when a client has left.
    """

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self._scripts = list(scripts)
        self.requests: list[generation_pb2.GenerateRequest] = []
        self.num_ended_early = 0
        self.left = asyncio.Event()
        self.asked = asyncio.Event()
        self.times: list[float] = []
        self.timeouts: list[float | None] = []
        self.status = inference_pb2.ClusterStatusResponse(cluster="default/llama", router="router-0")
        self.status_failures: list[Failure] = []

    async def Generate(  # noqa: N802, named by the proto, as all below
        self, request: generation_pb2.GenerateRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[generation_pb2.GenerateResponse]:
        self.times.append(asyncio.get_running_loop().time())
        self.timeouts.append(context.time_remaining())
        self.requests.append(request)
        self.asked.set()
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        ended = False
        try:
            for step in script:
                match step:
                    case Failure():
                        ended = True
                        await abort(context, step)
                    case float():
                        await asyncio.sleep(step)
                    case message:
                        yield message
            ended = True
        finally:
            if not ended:
                self.num_ended_early += 1
                self.left.set()

    async def ClusterStatus(  # noqa: N802
        self, request: inference_pb2.ClusterStatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.ClusterStatusResponse:
        if self.status_failures:
            await abort(context, self.status_failures.pop(0))
        return self.status

    async def Place(  # noqa: N802
        self, request: inference_pb2.PlaceRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.PlaceResponse:
        raise NotImplementedError

    async def Quote(  # noqa: N802
        self, request: inference_pb2.QuoteRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.QuoteResponse:
        raise NotImplementedError

    async def Describe(  # noqa: N802
        self, request: describe_pb2.DescribeRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> describe_pb2.DescribeResponse:
        return describe_pb2.DescribeResponse(model="llama", engine="paced", bytes_per_token=4.0, context_tokens=8192)


@asynccontextmanager
async def serve(
    router: ScriptedRouter, *, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[str]:
    """Yield the address at which the router listens."""
    server = grpc.aio.server()
    inference_pb2_grpc.add_InferenceServicer_to_server(router, server)
    wanted = f"127.0.0.1:{port}"
    taken = server.add_secure_port(wanted, credentials) if credentials else server.add_insecure_port(wanted)
    await server.start()
    try:
        yield f"127.0.0.1:{taken}"
    finally:
        await server.stop(0)


def accepted(request_id: str = "r1", *, resume_token: bytes = b"") -> generation_pb2.GenerateResponse:
    promise = promise_to_wire(Promise("chat", Interactive(ttft=2.0, tbt=0.05)))
    message = generation_pb2.Accepted(request_id=request_id, promise=promise, replica="replica-0", engine="paced")
    message.resume_token = resume_token
    return generation_pb2.GenerateResponse(accepted=message)


def tokens(*texts: str, position: int = 0) -> generation_pb2.GenerateResponse:
    """Return a message of one token a text; its own text is all of theirs, as an engine sends it."""
    ids = [100 + position + index for index in range(len(texts))]
    times = [1000 * (1 + position + index) for index in range(len(texts))]
    message = generation_pb2.Tokens(position=position, token_ids=ids, text="".join(texts), emitted_us=times)
    return generation_pb2.GenerateResponse(tokens=message)


def relegated() -> generation_pb2.GenerateResponse:
    return generation_pb2.GenerateResponse(relegated=generation_pb2.Relegated(before_first_token=True))


def completion(**fields: object) -> generation_pb2.GenerateResponse:
    known: dict[str, Any] = {
        "finish_reason": generation_pb2.FINISH_REASON_STOP,
        "qos_class": "chat",
        "replica": "replica-0",
        "engine": "paced",
        "ttft": duration_to_wire(0.5),
        "largest_tbt": duration_to_wire(0.04),
        "ttlt": duration_pb2.Duration(seconds=3),
        "on_time": True,
    }
    return generation_pb2.GenerateResponse(completion=generation_pb2.Completion(**known | fields))


def answer(*texts: str) -> list[Step]:
    """Return the script of an answer that goes well, one message a token."""
    said = [tokens(text, position=index) for index, text in enumerate(texts)]
    return [accepted(), *said, completion(num_output_tokens=len(texts))]

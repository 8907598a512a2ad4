"""The asynchronous client: one channel to a cluster's routers, for as many requests at a time as one likes."""

import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar, Unpack

import grpc
from niyama.v1 import describe_pb2, generation_pb2, inference_pb2, inference_pb2_grpc
from niyama_runtime.status import failure_of
from niyama_runtime.tls import ClientTls
from niyama_runtime.wire import WireError

from niyama_client.auto_route import AutoRoute
from niyama_client.cluster import ClusterStatus, Description, description_from_wire, status_from_wire
from niyama_client.connection import DEFAULT_ADDRESS, Target, open_channel, target_name
from niyama_client.direct_route import DirectRoute
from niyama_client.errors import broken_contract
from niyama_client.generation import Generation
from niyama_client.places import Places
from niyama_client.quotes import ClassQuote, quotes_from_wire
from niyama_client.replica_channels import ReplicaChannels
from niyama_client.requests import GenerateOptions, Prompt, Qos, generate_request, mode_of
from niyama_client.retries import Patience, Retries
from niyama_client.routes import Mode, Route, RoutedRoute

__all__ = ["Client"]

M = TypeVar("M")

# A question about the cluster is answered at once, or there is something wrong.
_ANSWER_SECONDS = 10.0


class Client:
    """A client of one cluster.

        async with Client("localhost:50051") as client:
            async for token in client.generate("Hello", qos=Interactive(ttft=2.0, tbt=0.05)):
                print(token, end="", flush=True)

    Args:
        address: `host:port`, or one of gRPC's names. A name that stands for several routers, such as
            `dns:///routers:50051`, spreads requests over them.
        tls: whom to trust and what to show; insecure without.
        retries: when a call is tried again.
        app: name of the application, by which the router remembers how long answers are.
        through_proxy: whether to heed the environment's http_proxy.
        mode: which way tokens come where a request does not say: through routers, from replicas themselves, or from
            replicas as far as their addresses can be reached.

    Raises:
        ValueError: the address is none; the message says how to write one.
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
        self.address = target_name(address)
        self._target = Target(address, tls, through_proxy)
        self._retries = retries or Retries()
        self._app = app
        self._mode = mode
        self._replicas = ReplicaChannels(self._target)
        self._channel: grpc.aio.Channel | None = None
        self._opened_stub: inference_pb2_grpc.InferenceAsyncStub | None = None

    def generate(self, prompt: Prompt, *, qos: Qos | None = None, **options: Unpack[GenerateOptions]) -> Generation:
        """Ask for an answer; loop over what this returns.

        `prompt` is text, token ids or chat messages. `qos` is the name of a class, or the times themselves; left out,
        the cluster's default class. `GenerateOptions` says what else there is.

        Raises:
            InvalidRequestError: something in the request cannot be put on the wire.
            TlsError: a file of the TLS settings cannot be used.
        """
        request_id = options.get("request_id") or uuid.uuid4().hex
        request = generate_request(prompt, qos, options=options, request_id=request_id, app=self._app)
        patience = Patience(self._retries, options.get("timeout"), appointment=options.get("appointment", ""))
        route = self._route(request, mode_of(options, self._mode), patience=patience)
        return Generation(request_id, route, patience=patience)

    async def status(self) -> ClusterStatus:
        """Return how the cluster fares, as the router that answers sees it.

        Raises:
            NiyamaError: the call failed.
        """
        call = self._stub().ClusterStatus
        answer = await self._retried(lambda left: call(inference_pb2.ClusterStatusRequest(), timeout=left))
        try:
            return status_from_wire(answer)
        except WireError as error:
            raise broken_contract(f"the server sent a status that cannot be read: {error}") from error

    async def describe(self) -> Description:
        """Return what the cluster serves.

        Raises:
            NiyamaError: the call failed.
        """
        call = self._stub().Describe
        answer = await self._retried(lambda left: call(describe_pb2.DescribeRequest(), timeout=left))
        return description_from_wire(answer)

    async def quote(
        self,
        num_prompt_tokens: int,
        *,
        num_output_tokens: int | None = None,
        app: str | None = None,
        confidence: float = 0.95,
    ) -> tuple[ClassQuote, ...]:
        """Return which times could be promised at this moment to a prompt of that length, for each class.

        `num_output_tokens` is the answer's length where it is known; left out, what is usual for `app`, which is the
        client's own when left out. `confidence` is the share of quotes that shall hold, above 0 and below 1.

        Raises:
            NiyamaError: the call failed.
        """
        call = self._stub().Quote
        question = inference_pb2.QuoteRequest(
            num_prompt_tokens=num_prompt_tokens,
            num_output_tokens=num_output_tokens or 0,
            app=self._app if app is None else app,
            confidence=confidence,
        )
        answer = await self._retried(lambda left: call(question, timeout=left))
        try:
            return quotes_from_wire(answer)
        except WireError as error:
            raise broken_contract(f"the server sent a quote that cannot be read: {error}") from error

    async def close(self) -> None:
        """Close all channels; generations that run are cancelled."""
        channel, self._channel, self._opened_stub = self._channel, None, None
        await self._replicas.close()
        if channel is not None:
            await channel.close()

    async def __aenter__(self) -> "Client":
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _route(self, request: generation_pb2.GenerateRequest, mode: Mode, *, patience: Patience) -> Route:
        stub = self._stub()
        routed = RoutedRoute(request, stub, patience=patience)
        if mode is Mode.ROUTED:
            return routed
        places = Places(request, stub, patience=patience)
        direct = DirectRoute(request, places, channels=self._replicas, patience=patience)
        if mode is Mode.DIRECT:
            return direct
        return AutoRoute(direct, routed, reachability=self._replicas.reachability)

    def _stub(self) -> "inference_pb2_grpc.InferenceAsyncStub":
        """Return the stub; the channel is opened with the first call, because it belongs to the loop that runs then."""
        if self._opened_stub is None:
            self._channel = open_channel(self._target)
            self._opened_stub = inference_pb2_grpc.InferenceStub(self._channel)
        return self._opened_stub

    async def _retried(self, call: Callable[[float | None], Awaitable[M]]) -> M:
        patience = Patience(self._retries, _ANSWER_SECONDS)
        while True:
            try:
                return await call(patience.seconds_left())
            except grpc.aio.AioRpcError as error:
                await patience.wait_after(failure_of(error))

"""The Python SDK of Niyama: ask for tokens, and say by when.

    async with Client("localhost:50051") as client:
        generation = client.generate("Hello", qos=Interactive(ttft=2.0, tbt=0.05))
        async for token in generation:
            print(token, end="", flush=True)
        print(generation.completion.on_time)

`SyncClient` is the same for code without asyncio. The tree of errors is drawn in `niyama_client.errors`.
"""

from niyama_core.promise import QosAsk
from niyama_core.slo import Batch, Importance, Interactive, OnOverload, Promise
from niyama_runtime.tls import ClientTls, TlsError

from niyama_client.answers import Accepted, Completion, FinishReason, Relegation, Token
from niyama_client.client import Client
from niyama_client.cluster import ClassAttainment, ClusterStatus, Description, LoadBoardState, ReplicaStatus
from niyama_client.errors import (
    AccessDeniedError,
    FieldViolation,
    InvalidRequestError,
    NiyamaError,
    OverloadedError,
    ServerError,
    TimeoutExpiredError,
    UnavailableError,
    UnknownRequestError,
)
from niyama_client.generation import Generation
from niyama_client.quotes import ClassQuote
from niyama_client.requests import ChatMessage, GenerateOptions, Prompt, Qos, Sampling
from niyama_client.retries import Retries
from niyama_client.routes import Mode
from niyama_client.sync_client import SyncClient, SyncGeneration

__all__ = [
    "Accepted",
    "AccessDeniedError",
    "Batch",
    "ChatMessage",
    "ClassAttainment",
    "ClassQuote",
    "Client",
    "ClientTls",
    "ClusterStatus",
    "Completion",
    "Description",
    "FieldViolation",
    "FinishReason",
    "GenerateOptions",
    "Generation",
    "Importance",
    "Interactive",
    "InvalidRequestError",
    "LoadBoardState",
    "Mode",
    "NiyamaError",
    "OnOverload",
    "OverloadedError",
    "Promise",
    "Prompt",
    "Qos",
    "QosAsk",
    "Relegation",
    "ReplicaStatus",
    "Retries",
    "Sampling",
    "ServerError",
    "SyncClient",
    "SyncGeneration",
    "TimeoutExpiredError",
    "TlsError",
    "Token",
    "UnavailableError",
    "UnknownRequestError",
]

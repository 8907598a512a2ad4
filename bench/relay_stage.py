"""The processes around the router in its benchmark: a replica that streams as fast as it can, and a bare relay.

`python bench/relay_stage.py replica NUM_MESSAGES` and `python bench/relay_stage.py relay REPLICA_ADDRESS` print
`address HOST:PORT` when they serve, and run until they are killed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from niyama.v1 import generation_pb2, load_pb2, replica_pb2, replica_pb2_grpc
from niyama_core.load import ReplicaLoad
from niyama_runtime import wire
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.grpc_server import GrpcServer, ServerSettings

Context = grpc.aio.ServicerContext[Any, Any]
Event = generation_pb2.GenerateResponse


def token_event(position: int) -> Event:
    """Return a message as an agent sends it each iteration."""
    tokens = generation_pb2.Tokens(position=position, token_ids=[1234], text=" token", emitted_us=[position * 20_000])
    return Event(tokens=tokens)


class EagerReplica:
    """Answers every request at once with as many messages as its seed says, serialized beforehand.

    An answer that is longer than any that was prepared stays open after its first token. It must cost less than a
    relay, or the benchmark would measure it.
    """

    def __init__(self) -> None:
        self._tokens = [token_event(position).SerializeToString() for position in range(4096)]
        completion = generation_pb2.Completion(finish_reason=generation_pb2.FINISH_REASON_LENGTH, replica="eager")
        completion.ttft.FromMilliseconds(1)
        completion.ttlt.FromMilliseconds(2)
        self._completion = Event(completion=completion).SerializeToString()

    async def generate(self, request: replica_pb2.ReplicaGenerateRequest, context: Context) -> AsyncIterator[bytes]:
        """Send everything at once."""
        accepted = generation_pb2.Accepted(
            request_id=request.request.request_id, promise=request.promise, replica="eager", engine="paced"
        )
        yield Event(accepted=accepted).SerializeToString()
        num_tokens = request.request.sampling.seed
        if num_tokens > len(self._tokens):
            yield self._tokens[0]
            await asyncio.Event().wait()
        for message in self._tokens[:num_tokens]:
            yield message
        yield self._completion

    async def load(self, request: replica_pb2.GetLoadRequest, context: Context) -> load_pb2.ReplicaLoad:
        """Say that nothing waits."""
        load = ReplicaLoad("eager", "", incarnation=1, prefill_tokens_per_second=1e6, engine="paced", model="bench")
        return wire.load_to_wire(load)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of the two methods that a router needs."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Generate": grpc.unary_stream_rpc_method_handler(
                self.generate, request_deserializer=replica_pb2.ReplicaGenerateRequest.FromString
            ),
            "GetLoad": grpc.unary_unary_rpc_method_handler(
                self.load,
                request_deserializer=replica_pb2.GetLoadRequest.FromString,
                response_serializer=load_pb2.ReplicaLoad.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler("niyama.v1.Replica", methods)


class BareRelay:
    """What any relay must do: parse and serialize each message, and nothing else."""

    def __init__(self, address: str) -> None:
        self._stub: replica_pb2_grpc.ReplicaAsyncStub = replica_pb2_grpc.ReplicaStub(open_channel(address))

    async def generate(self, request: generation_pb2.GenerateRequest, context: Context) -> AsyncIterator[Event]:
        """Pass on what comes."""
        async for message in self._stub.Generate(replica_pb2.ReplicaGenerateRequest(request=request)):
            yield message

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of the one method."""
        method: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(
            self.generate,
            request_deserializer=generation_pb2.GenerateRequest.FromString,
            response_serializer=Event.SerializeToString,
        )
        return grpc.method_handlers_generic_handler("niyama.v1.Inference", {"Generate": method})


async def serve(role: str, address: str) -> None:
    """Run one stage for ever."""
    server = GrpcServer(ServerSettings(), ["niyama.v1.Inference"])
    stage = EagerReplica() if role == "replica" else BareRelay(address)
    server.registry.add_generic_rpc_handlers((stage.handler(),))
    await server.start()
    print("address", server.address, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))

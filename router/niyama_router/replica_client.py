"""One connection to each replica, over which everything goes: streams, load, description.

A replica whose process has died shows at once: its socket is closed, and every stream on it fails. One whose machine
is gone, or that hangs, shows two seconds after it last said something, when a ping stays without an answer.
"""

from collections.abc import Collection

import grpc
from niyama.v1 import describe_pb2, generation_pb2, replica_pb2, replica_pb2_grpc
from niyama_core.load import ReplicaLoad
from niyama_runtime import wire
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.tls import ClientTls, channel_credentials

__all__ = ["GenerateCall", "ReplicaClient", "ReplicaClients"]

# Router and replicas are near one another; what is open at one that hangs waits for this.
_ANSWER_SECONDS = 1.0

GenerateCall = grpc.aio.UnaryStreamCall[replica_pb2.ReplicaGenerateRequest, generation_pb2.GenerateResponse]


class ReplicaClient:
    """One replica at the other end of a channel."""

    def __init__(self, address: str, tls: ClientTls | None) -> None:
        """Prepare a channel to host:port; it connects with the first call.

        Raises:
            TlsError: a file of `tls` cannot be used.
        """
        self.address = address
        self._channel = open_channel(address, tls=tls, answers_within=_ANSWER_SECONDS)
        self._stub = replica_pb2_grpc.ReplicaStub(self._channel)

    def generate(self, request: replica_pb2.ReplicaGenerateRequest, *, timeout: float | None) -> GenerateCall:
        """Open a stream that ends after `timeout` seconds at the latest; failures show when it is read."""
        return self._stub.Generate(request, timeout=timeout)

    async def load(self, *, within: float) -> ReplicaLoad:
        """Return the replica's load, as it says itself `within` seconds.

        Raises:
            grpc.aio.AioRpcError: it does not answer.
            WireError: what it says makes no sense.
        """
        return wire.load_from_wire(await self._stub.GetLoad(replica_pb2.GetLoadRequest(), timeout=within))

    async def describe(self, *, within: float) -> describe_pb2.DescribeResponse:
        """Return what the replica serves, as it says itself `within` seconds.

        Raises:
            grpc.aio.AioRpcError: it does not answer.
        """
        return await self._stub.Describe(describe_pb2.DescribeRequest(), timeout=within)

    async def close(self) -> None:
        """Close the channel; streams that are open on it are cancelled."""
        await self._channel.close()


class ReplicaClients:
    """The clients by address, opened when first asked for."""

    def __init__(self, tls: ClientTls | None = None) -> None:
        """Begin without any.

        Raises:
            TlsError: a file of `tls` cannot be used; better said at the start than with the first request.
        """
        if tls is not None:
            channel_credentials(tls)
        self._tls = tls
        self._by_address: dict[str, ReplicaClient] = {}

    def at(self, address: str) -> ReplicaClient:
        """Return the client of the replica at host:port.

        Raises:
            TlsError: a file of the TLS settings cannot be used.
        """
        client = self._by_address.get(address)
        if client is None:
            client = self._by_address[address] = ReplicaClient(address, self._tls)
        return client

    async def retain(self, addresses: Collection[str]) -> None:
        """Close the clients of all other addresses."""
        for address in [address for address in self._by_address if address not in addresses]:
            await self._by_address.pop(address).close()

    async def close(self) -> None:
        """Close all."""
        await self.retain(())

"""The life cycle of a gRPC server: built, bound, serving when told, drained, stopped.

Servicers are added to `registry` before `start`. Health and reflection come by themselves. A server says SERVING
only when its owner does, and NOT_SERVING before it stops taking calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from niyama_runtime import health
from niyama_runtime.addresses import Address, BindError, check_bindable, parse_address
from niyama_runtime.grpc_channel import KEEPALIVE_SECONDS, MAX_MESSAGE_BYTES
from niyama_runtime.tls import ServerTls, server_credentials

__all__ = ["GrpcServer", "ServerSettings"]

# A client that is gone costs only what is computed for it; servers have more patience than clients.
_SILENT_SECONDS = 10.0
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server listens.

    Attributes:
        address: host:port; port 0 takes a free one.
        tls: certificate and key; insecure without.
        max_message_bytes: larger requests fail with RESOURCE_EXHAUSTED, by gRPC itself.
        keepalive_seconds: how long a client may be silent before it is asked whether it lives.
        max_connection_age: seconds after which clients are asked to connect anew, so that they find servers that came
            later; streams that run go on. None for never.
    """

    address: str = "127.0.0.1:0"
    tls: ServerTls | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    keepalive_seconds: float = _SILENT_SECONDS
    max_connection_age: float | None = None


class GrpcServer:
    """One aio gRPC server.

    Attributes:
        registry: where servicers are added, by the generated `add_...Servicer_to_server`.
    """

    def __init__(
        self,
        settings: ServerSettings,
        services: Sequence[str],
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        """Build a server of `services`, full names as in `niyama.v1.Replica`; nothing listens yet."""
        self._settings = settings
        self._address: Address | None = None
        self._health = health.Health(services)
        self.registry = grpc.aio.server(options=_options(settings), interceptors=interceptors)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.registry)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self.registry)

    @property
    def address(self) -> str:
        """host:port with the port that was really taken.

        Raises RuntimeError before `start`.
        """
        if self._address is None:
            raise RuntimeError("the server has not been started")
        return str(self._address)

    @property
    def port(self) -> int:
        """The port that was really taken."""
        return parse_address(self.address).port

    async def start(self) -> None:
        """Listen and answer; health still says NOT_SERVING.

        Raises:
            BindError: the address cannot be taken; the message is one line that says why.
            TlsError: certificate or key cannot be used.
        """
        wanted = parse_address(self._settings.address)
        check_bindable(wanted)
        self._address = Address(wanted.host, self._bind(wanted))
        await self.registry.start()

    def set_serving(self, serving: bool, service: str | None = None) -> None:
        """Say to health checks whether `service`, or without a name the whole server, takes calls."""
        self._health.set(serving=serving, service=service)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, refuse new calls, and give the running ones `grace` seconds before they are cancelled."""
        self._health.close()
        await self.registry.stop(grace)

    def _bind(self, wanted: Address) -> int:
        tls = self._settings.tls
        try:
            if tls is None:
                return self.registry.add_insecure_port(str(wanted))
            return self.registry.add_secure_port(str(wanted), server_credentials(tls))
        except RuntimeError as error:
            raise BindError(f"cannot listen on {wanted}") from error


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    age = settings.max_connection_age
    return [
        *([] if age is None else [("grpc.max_connection_age_ms", round(age * 1000))]),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # With it two servers would share a port in silence, and half the calls go to the wrong one.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", round(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(_ANSWER_SECONDS * 1000)),
        ("grpc.http2.ping_timeout_ms", round(_ANSWER_SECONDS * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        # A stream may be silent for minutes while its request waits: ask on.
        ("grpc.http2.max_pings_without_data", 0),
        # Clients of ours ping every KEEPALIVE_SECONDS; others may do so twice as often.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", round(KEEPALIVE_SECONDS * 500)),
    ]

"""Appointments as a client carries them, so that any router knows whoever comes back when told.

The refusal has it in `ErrorInfo`, the next call in its metadata. It is signed like a resume token, with the key that
routers share; without a key, a client could give itself one, and so be let in where it would wait a little longer.
"""

import base64
import binascii
from collections.abc import Callable

from google.protobuf.message import DecodeError
from niyama.v1 import appointment_pb2
from niyama_core.waitlist import Appointment
from niyama_runtime import wire
from niyama_runtime.signatures import SignatureError, Signer

__all__ = ["AppointmentError", "Appointments"]

_PURPOSE = "appointment"


class AppointmentError(Exception):
    """A text is no appointment of this cluster; the message says why."""


class Appointments:
    """Writes appointments and reads them.

    Args:
        key: shared by all routers of the cluster; None to sign nothing.
        unix_now: the time, in seconds since the epoch.
    """

    def __init__(self, key: bytes | None, *, unix_now: Callable[[], float]) -> None:
        """Sign with this key."""
        self._signer = Signer(key, purpose=_PURPOSE)
        self._unix_now = unix_now

    def write(self, request_id: str, seconds: float) -> str:
        """Return the appointment of a request that is to come back in so many seconds, as ASCII."""
        claims = appointment_pb2.AppointmentClaims(request_id=request_id, ahead=wire.duration_to_wire(seconds))
        claims.due.FromMicroseconds(round(1e6 * (self._unix_now() + seconds)))
        return base64.urlsafe_b64encode(self._signer.sign(claims.SerializeToString())).decode()

    def read(self, text: str, request_id: str, *, now: float) -> Appointment:
        """Return what an appointment of that request says, with instants on the clock by which it is `now`.

        Raises:
            AppointmentError: it is broken, of another request, or another cluster's.
        """
        try:
            content = self._signer.open(base64.b64decode(text, altchars=b"-_", validate=True))
            claims = appointment_pb2.AppointmentClaims.FromString(content)
            ahead = wire.duration_from_wire(claims.ahead, "ahead")
        except SignatureError as error:
            raise AppointmentError("has not been signed by a router of this cluster") from error
        except (binascii.Error, DecodeError, wire.WireError) as error:
            raise AppointmentError("is no appointment: pass on what the refusal had in its ErrorInfo") from error
        if claims.request_id != request_id:
            raise AppointmentError(f"is that of request {claims.request_id!r}: come back under the same id")
        due = now + claims.due.ToMicroseconds() / 1e6 - self._unix_now()
        return Appointment(given=due - max(0.0, ahead), due=due)

"""The door: a request comes in, its promise is resolved, and what nobody could serve is refused with all reasons.

Nothing here waits or asks anyone. Whether there is room is another question, which `placing` answers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from niyama.v1 import generation_pb2, inference_pb2
from niyama_core.output_length import OutputLengthHistory
from niyama_core.promise import InvalidQosError, merge_asks, resolve_promise
from niyama_core.slo import Promise, QosClasses
from niyama_core.waitlist import Appointment
from niyama_runtime.status import FieldViolation

from niyama_router.appointments import AppointmentError, Appointments
from niyama_router.call_metadata import CallMetadata, read_metadata
from niyama_router.errors import InvalidRequestError
from niyama_router.place_requests import as_generate_request, check_place, estimate_tokens, renamed
from niyama_router.request_checks import Limits, check_request, estimate_prompt_tokens, read_qos
from niyama_router.resume_tokens import Resumed, ResumeTokenError, ResumeTokens
from niyama_router.rules import LiveRules

__all__ = ["Admission", "Admitted", "ModelFacts"]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the replicas report of their model: mean bytes a token, and the context; 0 while nobody knows."""

    bytes_per_token: float
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is right.

    Attributes:
        request: as the client sent it, with id and application filled in.
        promise: what it was promised, in full.
        arrival: instant of its arrival on this router's clock; every time of the request counts from it.
        num_prompt_tokens: estimate of the prompt's length.
        expected_output_tokens: estimate of the answer's length.
        resume_token: with which the client can go on at another router; empty when the request cannot be resumed.
        given_token_ids: tokens that the client has from a router that it lost.
        appointment: what a router told the client that refused it; None when none has.
    """

    request: generation_pb2.GenerateRequest
    promise: Promise
    arrival: float
    num_prompt_tokens: int
    expected_output_tokens: int
    resume_token: bytes = b""
    given_token_ids: tuple[int, ...] = ()
    appointment: Appointment | None = None

    @property
    def is_resumable(self) -> bool:
        """Whether it can go on behind tokens that the client has.

        Not with stop strings: one may have begun in text that whoever goes on never sees.
        """
        return not self.request.sampling.stop


class Admission:
    """Turns calls into admitted requests."""

    def __init__(
        self,
        live: LiveRules,
        facts: Callable[[], ModelFacts],
        *,
        lengths: OutputLengthHistory,
        tokens: ResumeTokens,
        appointments: Appointments,
        new_id: Callable[[], str],
    ) -> None:
        """Keep whom to ask; `new_id` makes ids for requests without one, `tokens` what they are resumed by."""
        self._live = live
        self._facts = facts
        self._lengths = lengths
        self._tokens = tokens
        self._appointments = appointments
        self._new_id = new_id

    def admit(
        self,
        request: generation_pb2.GenerateRequest,
        metadata: Iterable[tuple[str, str | bytes]],
        *,
        arrival: float,
    ) -> Admitted:
        """Return the admitted request; `request` itself becomes part of it.

        Raises:
            InvalidRequestError: fields are wrong; all of them are in the error.
        """
        limits, said = self.limits(), read_metadata(metadata)
        self._fill_in(request, said)
        num_tokens = estimate_prompt_tokens(request, limits.bytes_per_token)
        found = check_request(request, limits, num_prompt_tokens=num_tokens)
        return self._judge(request, said, arrival=arrival, num_tokens=num_tokens, violations=[*said.violations, *found])

    def admit_place(
        self, place: inference_pb2.PlaceRequest, metadata: Iterable[tuple[str, str | bytes]], *, arrival: float
    ) -> Admitted:
        """Return the admitted request of a client that keeps the prompt to itself.

        Raises:
            InvalidRequestError: fields are wrong; all of them are in the error.
        """
        limits, said = self.limits(), read_metadata(metadata)
        request = as_generate_request(place)
        self._fill_in(request, said)
        num_tokens = estimate_tokens(place, limits.bytes_per_token)
        found = [*said.violations, *check_place(request, limits, num_prompt_tokens=num_tokens)]
        try:
            return self._judge(request, said, arrival=arrival, num_tokens=num_tokens, violations=found)
        except InvalidRequestError as error:
            raise InvalidRequestError([renamed(violation) for violation in error.failure.violations]) from error

    def _judge(
        self,
        request: generation_pb2.GenerateRequest,
        said: CallMetadata,
        *,
        arrival: float,
        num_tokens: int,
        violations: list[FieldViolation],
    ) -> Admitted:
        """Find the promise, and let the request in unless something is wrong."""
        cap = request.max_tokens or self._live.rules.max_output_tokens
        if request.HasField("resume"):
            resumed = self._read_resume(request, cap, violations=violations)
            promise = None if resumed is None else resumed.promise
            arrival -= 0.0 if resumed is None else resumed.elapsed
        else:
            promise = _resolve(request, said, classes=self._live.rules.classes, violations=violations)
        appointment = self._read_appointment(said, request.request_id, now=arrival, violations=violations)
        if promise is None or violations:
            raise InvalidRequestError(violations)
        admitted = self._admitted(request, promise, arrival=arrival, num_tokens=num_tokens, cap=cap)
        return admitted if appointment is None else replace(admitted, appointment=appointment)

    def limits(self) -> Limits:
        """Return what requests may ask for at most."""
        rules, facts = self._live.rules, self._facts()
        return Limits(
            model=rules.model,
            max_output_tokens=rules.max_output_tokens,
            context_tokens=rules.context_tokens or facts.context_tokens,
            bytes_per_token=facts.bytes_per_token,
            replay=rules.replay,
        )

    def _read_resume(
        self, request: generation_pb2.GenerateRequest, cap: int, *, violations: list[FieldViolation]
    ) -> Resumed | None:
        """Return what is known of a request that was begun at another router; or None, with what is wrong added."""
        try:
            resumed = self._tokens.read(request.resume.token)
        except ResumeTokenError as error:
            violations.append(FieldViolation("resume.token", str(error)))
            return None
        if resumed.request_id != request.request_id:
            violations.append(
                FieldViolation("request_id", f"must be that of the broken stream, {resumed.request_id!r}")
            )
        if len(request.resume.token_ids) > cap:
            violations.append(FieldViolation("resume.token_ids", f"must be at most {cap}, the most that are generated"))
        return resumed

    def _read_appointment(
        self, said: CallMetadata, request_id: str, *, now: float, violations: list[FieldViolation]
    ) -> Appointment | None:
        """Return when the client was told to come back; or None, with what is wrong added."""
        if not said.appointment:
            return None
        try:
            return self._appointments.read(said.appointment, request_id, now=now)
        except AppointmentError as error:
            violations.append(FieldViolation("niyama-appointment", str(error)))
            return None

    def _admitted(
        self, request: generation_pb2.GenerateRequest, promise: Promise, *, arrival: float, num_tokens: int, cap: int
    ) -> Admitted:
        """Return the admitted request; what it said of resuming is taken out of it."""
        token, given = request.resume.token, tuple(request.resume.token_ids)
        request.ClearField("resume")
        if request.sampling.stop:
            token = b""
        elif not token:
            token = self._tokens.issue(request.request_id, promise)
        expected = self._lengths.expected(request.app, cap)
        return Admitted(request, promise, arrival, num_tokens, expected, resume_token=token, given_token_ids=given)

    def _fill_in(self, request: generation_pb2.GenerateRequest, said: CallMetadata) -> None:
        request.request_id = request.request_id or said.request_id or self._new_id()
        request.app = request.app or said.app


def _resolve(
    request: generation_pb2.GenerateRequest,
    said: CallMetadata,
    *,
    classes: QosClasses,
    violations: list[FieldViolation],
) -> Promise | None:
    """Return the promise; or None, with what is wrong added to `violations`."""
    asked, unreadable = read_qos(request.qos)
    violations += unreadable
    try:
        return resolve_promise(merge_asks([asked, said.ask]), classes)
    except InvalidQosError as error:
        violations += [FieldViolation(v.field, v.description) for v in error.violations]
        return None

"""The door: how a promise is found, and every way in which a request can be wrong."""

import asyncio
import math
import struct
from typing import Any

import pytest
from google.protobuf import duration_pb2
from niyama.v1 import generation_pb2, qos_pb2
from niyama_core.output_length import OutputLengthHistory
from niyama_core.slo import Batch, Importance, Interactive, Promise
from niyama_router.admission import Admission, Admitted, ModelFacts
from niyama_router.appointments import Appointments
from niyama_router.errors import InvalidRequestError
from niyama_router.request_checks import MAX_REQUEST_BYTES
from niyama_router.resume_tokens import ResumeTokens
from niyama_router.rules import LiveRules
from niyama_router.settings import parse_settings

from tests.router.conftest import StartReplica
from tests.router.harness import Metadata, RouterUnderTest

SETTINGS = {
    "cluster": "tests/cluster",
    "listen": "127.0.0.1:0",
    "model": "llama",
    "maxOutputTokens": 1000,
    "replicas": ["127.0.0.1:1"],
    "qosClasses": [
        {"name": "chat", "interactive": {"ttft": "6s", "tbt": "50ms"}, "default": True},
        {"name": "job", "batch": {"ttlt": "10m"}, "importance": "low"},
    ],
}
TOKENS = ResumeTokens(None, unix_now=lambda: 1000.0)
FACTS = ModelFacts(bytes_per_token=4.0, context_tokens=4096)


def admission(facts: ModelFacts = FACTS, **settings: Any) -> Admission:  # noqa: ANN401
    live = LiveRules(parse_settings({**SETTINGS, **settings}).rules)
    return Admission(
        live,
        lambda: facts,
        lengths=OutputLengthHistory(),
        tokens=TOKENS,
        appointments=Appointments(None, unix_now=lambda: 1000.0),
        new_id=lambda: "made-up",
    )


def a_message(**fields: Any) -> generation_pb2.GenerateRequest:  # noqa: ANN401
    return generation_pb2.GenerateRequest(**{"prompt": "Once upon a time", **fields})


def admit(request: generation_pb2.GenerateRequest | None = None, *metadata: tuple[str, str | bytes]) -> Admitted:
    return admission().admit(request or a_message(), metadata, arrival=1.0)


def seconds(value: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


def violations(
    request: generation_pb2.GenerateRequest,
    metadata: Metadata = (),
    **settings: Any,  # noqa: ANN401
) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        admission(**settings).admit(request, metadata, arrival=0.0)
    return {violation.field: violation.description for violation in caught.value.failure.violations}


def test_a_request_that_asks_for_nothing_gets_the_default_class() -> None:
    assert admit().promise.slo == Interactive(6.0, 0.05)


def test_the_message_goes_before_the_metadata_field_by_field() -> None:
    request = a_message(qos=qos_pb2.Qos(ttft=seconds(4)))
    promise = admit(request, ("niyama-ttft-ms", "5000"), ("niyama-tbt-ms", "40")).promise
    assert promise.slo == Interactive(4.0, 0.04)


@pytest.mark.parametrize("key", ["niyama-ttft-ms", "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms", "X-SLO-TTFT-MS"])
def test_a_ttft_is_known_by_the_names_of_others(key: str) -> None:
    assert admit(None, (key, "4000")).promise.slo == Interactive(4.0, 0.05)


@pytest.mark.parametrize("key", ["niyama-tbt-ms", "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"])
def test_a_time_per_output_token_of_others_is_a_time_between_tokens(key: str) -> None:
    assert admit(None, ("niyama-qos-class", "chat"), (key, "40")).promise.slo == Interactive(6.0, 0.04)


def test_our_own_name_goes_before_that_of_others() -> None:
    assert admit(None, ("x-slo-ttft-ms", "5000"), ("niyama-ttft-ms", "4000")).promise.slo == Interactive(4.0, 0.05)


def test_class_importance_application_and_id_may_come_by_metadata() -> None:
    metadata = [("niyama-qos-class", "job"), ("niyama-importance", "High"), ("niyama-app", "reader")]
    admitted = admit(None, *metadata, ("niyama-request-id", "r-1"))
    assert (admitted.promise.qos_class, admitted.promise.importance) == ("job", Importance.HIGH)
    assert (admitted.request.app, admitted.request.request_id) == ("reader", "r-1")


def test_bare_values_of_the_other_kind_replace_the_default_class() -> None:
    promise = admit(None, ("niyama-ttlt-ms", "480000")).promise
    assert (promise.qos_class, promise.slo) == ("job", Batch(480.0))


def test_an_id_is_made_where_none_is_given() -> None:
    assert admit().request.request_id == "made-up"


def test_the_arrival_is_what_the_caller_stamped() -> None:
    assert admit().arrival == 1.0


def test_prompts_are_measured_by_bytes_and_exactly_when_they_are_tokens() -> None:
    tokens = generation_pb2.TokenIds(ids=range(77))
    assert admit(a_message(prompt="x" * 401)).num_prompt_tokens == 101
    assert admit(a_message(prompt="é" * 400)).num_prompt_tokens == 200
    assert admit(generation_pb2.GenerateRequest(prompt_tokens=tokens)).num_prompt_tokens == 77


def test_the_answer_is_expected_to_be_no_longer_than_its_cap() -> None:
    assert admit(a_message(max_tokens=5)).expected_output_tokens == 5


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt_tokens": generation_pb2.TokenIds()}, "prompt_tokens.ids"),
        ({"chat": generation_pb2.Chat()}, "chat.messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1001}, "max_tokens"),
        ({"max_tokens": 2**32 - 1}, "max_tokens"),
        ({"model": "gpt"}, "model"),
        ({"request_id": "x" * 129}, "request_id"),
        ({"app": "x" * 129}, "app"),
        ({"replay_output_tokens": 5}, "replay_output_tokens"),
        ({"sampling": {"temperature": -0.1}}, "sampling.temperature"),
        ({"sampling": {"temperature": math.nan}}, "sampling.temperature"),
        ({"sampling": {"top_p": 0}}, "sampling.top_p"),
        ({"sampling": {"top_p": 1.5}}, "sampling.top_p"),
        ({"sampling": {"presence_penalty": 3}}, "sampling.presence_penalty"),
        ({"sampling": {"frequency_penalty": math.inf}}, "sampling.frequency_penalty"),
        ({"sampling": {"stop": ["a", ""]}}, "sampling.stop[1]"),
        ({"prompt": "x" * 50_000}, "prompt"),
        ({"prompt_tokens": generation_pb2.TokenIds(ids=[1] * 4096)}, "prompt_tokens"),
        ({"qos": {"qos_class": "gold"}}, "qos.qos_class"),
        ({"qos": {"importance": 7}}, "qos.importance"),
        ({"qos": {"ttft": seconds(0)}}, "qos.ttft"),
        ({"qos": {"ttft": seconds(-1)}}, "qos.ttft"),
        ({"qos": {"ttft": seconds(1e9)}}, "qos.ttft"),
        ({"qos": {"ttft": duration_pb2.Duration(seconds=1, nanos=-5)}}, "qos.ttft"),
        ({"qos": {"ttft": duration_pb2.Duration(seconds=2**62)}}, "qos.ttft"),
        ({"qos": {"tbt": seconds(0.1)}}, "qos.tbt"),
        ({"qos": {"ttft": seconds(3), "ttlt": seconds(30)}}, "qos.ttlt"),
        ({"qos": {"qos_class": "job", "ttft": seconds(3)}}, "qos.ttft"),
        ({"qos": {"qos_class": "chat", "ttlt": seconds(3)}}, "qos.ttlt"),
        ({"qos": {"qos_class": "chat", "ttft": seconds(2)}}, "qos.ttft"),
        ({"qos": {"qos_class": "chat", "ttft": seconds(100)}}, "qos.ttft"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str) -> None:
    assert list(violations(a_message(**fields))) == [field]


def test_a_request_without_any_input_is_told_what_to_give() -> None:
    assert "prompt" in violations(generation_pb2.GenerateRequest())


def test_a_role_that_no_template_knows_is_named() -> None:
    chat = generation_pb2.Chat(messages=[{"role": "user", "content": "hi"}, {"role": "wizard", "content": "hi"}])
    assert list(violations(generation_pb2.GenerateRequest(chat=chat))) == ["chat.messages[1].role"]


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("niyama-ttft-ms", "soon", "niyama-ttft-ms"),
        ("niyama-ttft-ms", "nan", "niyama-ttft-ms"),
        ("niyama-ttft-ms", "inf", "niyama-ttft-ms"),
        ("niyama-ttft-ms", "1_000", "niyama-ttft-ms"),
        ("niyama-ttft-ms", "1e999", "niyama-ttft-ms"),
        ("niyama-ttft-ms", "-5", "qos.ttft"),
        ("niyama-ttft-ms", "1e12", "qos.ttft"),
        ("x-slo-tpot-ms", "5 ms", "x-slo-tpot-ms"),
        ("niyama-importance", "medium", "niyama-importance"),
        ("niyama-qos-class", "gold", "qos.qos_class"),
        ("niyama-qos-class", "größe", "niyama-qos-class"),
        ("niyama-qos-class-bin", b"chat", "niyama-qos-class"),
        ("niyama-ttft-ms-bin", b"\xff\x00", "niyama-ttft-ms"),
        ("niyama-app", "x" * 129, "app"),
        ("niyama-request-id", "x" * 129, "request_id"),
    ],
)
def test_wrong_metadata_are_named(key: str, value: str | bytes, field: str) -> None:
    assert list(violations(a_message(), [(key, value)])) == [field]


def test_metadata_that_contradict_themselves_are_named() -> None:
    assert list(violations(a_message(), [("niyama-ttft-ms", "4000"), ("niyama-ttft-ms", "5000")])) == ["niyama-ttft-ms"]


def test_a_misspelt_key_of_ours_is_named_so_that_no_promise_is_lost_in_silence() -> None:
    found = violations(a_message(), [("niyama-qos-clas", "job")])
    assert found == {"niyama-qos-clas": "is no key of Niyama's; did you mean niyama-qos-class?"}
    assert "keys are" in violations(a_message(), [("niyama-wherever-it-may-be", "1")])["niyama-wherever-it-may-be"]


def test_metadata_of_others_and_empty_ones_are_passed_over() -> None:
    admitted = admit(None, ("user-agent", "x"), ("niyama-qos-class", ""), ("trace-bin", b"\xff"))
    assert admitted.promise.qos_class == "chat"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    request = a_message(prompt="", max_tokens=5000, model="gpt", qos=qos_pb2.Qos(qos_class="gold"))
    found = violations(request, [("niyama-importance", "medium"), ("niyama-ttft-ms", "soon")])
    assert set(found) == {"prompt", "max_tokens", "model", "qos.qos_class", "niyama-importance", "niyama-ttft-ms"}


def test_the_classes_and_the_bounds_that_are_allowed_are_said() -> None:
    assert "chat, job" in violations(a_message(qos=qos_pb2.Qos(qos_class="gold")))["qos.qos_class"]
    assert "3s to 60s" in violations(a_message(qos=qos_pb2.Qos(ttft=seconds(1))))["qos.ttft"]


def test_a_text_that_may_yet_fit_is_left_to_the_replica_that_owns_the_tokenizer() -> None:
    assert admit(a_message(prompt="x" * 20_000)).num_prompt_tokens == 5000


def test_no_prompt_is_too_long_while_nobody_knows_the_model() -> None:
    unknown = admission(ModelFacts(bytes_per_token=4.0, context_tokens=0))
    unknown.admit(a_message(prompt="x" * 1_000_000), (), arrival=0.0)


def test_a_configured_context_goes_before_what_replicas_report() -> None:
    tokens = generation_pb2.TokenIds(ids=[1] * 100)
    request = generation_pb2.GenerateRequest(prompt_tokens=tokens)
    assert list(violations(request, contextTokens=100)) == ["prompt_tokens"]


def test_a_router_for_replay_takes_the_length_of_the_answer() -> None:
    request = a_message(replay_output_tokens=5)
    assert admission(replay=True).admit(request, (), arrival=0.0).request.replay_output_tokens == 5


def resumed(*token_ids: int, at: float, request_id: str = "r1") -> generation_pb2.GenerateRequest:
    """Return a request that was begun at instant 900 of the world's clock and goes on at another."""
    promise = Promise("gone-by-now", Batch(ttlt=77.0))
    token = ResumeTokens(None, unix_now=lambda: 1000.0 - at).issue("r1", promise)
    return a_message(request_id=request_id, resume=generation_pb2.Resume(token=token, token_ids=token_ids))


def test_a_request_that_is_resumed_keeps_its_arrival_its_promise_and_its_tokens() -> None:
    admitted = admit(resumed(5, 6, at=100.0))
    assert admitted.arrival == pytest.approx(1.0 - 100.0)
    assert admitted.promise == Promise("gone-by-now", Batch(ttlt=77.0))
    assert admitted.given_token_ids == (5, 6)
    assert admitted.resume_token
    assert not admitted.request.HasField("resume")


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (resumed(5, at=1.0, request_id="other"), "request_id", "must be that of the broken stream, 'r1'"),
        (resumed(*range(1001), at=1.0), "resume.token_ids", "at most 1000"),
        (resumed(5, at=1e6), "resume.token", "too old"),
        (a_message(request_id="r1", resume=generation_pb2.Resume(token=b"x")), "resume.token", "no token of a router"),
    ],
)
def test_a_resume_that_makes_no_sense_names_its_field(
    request_: generation_pb2.GenerateRequest, field: str, words: str
) -> None:
    assert words in violations(request_)[field]


def test_a_request_with_stop_strings_gets_no_token() -> None:
    assert admit().resume_token
    assert not admit(a_message(sampling=generation_pb2.Sampling(stop=["END"]))).resume_token


async def test_wrong_requests_are_answered_and_the_router_lives_on(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address) as router:
        for _ in range(3):
            assert (await router.generate(prompt="")).violated == ["prompt"]
            assert (await router.generate(metadata=[("niyama-ttft-ms", "soon")])).violated == ["niyama-ttft-ms"]
            assert (await router.generate(metadata=[("niyama-ttft-ms-bin", b"\xff")])).violated == ["niyama-ttft-ms"]
        assert (await router.generate()).completion.on_time
    assert len(replica.seen) == 1


async def test_a_message_that_is_too_large_is_refused_with_the_bound(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address, contextTokens=100_000_000) as router:
        answer = await router.generate(prompt="x" * MAX_REQUEST_BYTES)
        assert answer.violated == ["prompt"]
        assert (await router.generate(prompt="x" * (MAX_REQUEST_BYTES - 1000))).completion.on_time


async def test_metadata_that_are_no_text_are_named_to_clients_that_send_them_raw(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address) as router:
        heard = await send_raw(router.endpoints.grpc, (b"niyama-qos-class", b"\xff\xfe chat"))
        assert b"niyama-qos-class: must be ASCII" in heard
        assert (await router.generate()).completion.on_time


async def send_raw(address: str, *metadata: tuple[bytes, bytes]) -> bytes:
    """Send a request as bytes of HTTP/2, with metadata that no client of gRPC would send, and return the answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/niyama.v1.Inference/Generate"),
        (b":authority", b"tests"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *metadata,
    ]
    block = b"".join(b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value for key, value in headers)
    body = a_message().SerializeToString()
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(4, 0, stream=0))
    writer.write(http2_frame(1, 4, stream=1, payload=block))
    writer.write(http2_frame(0, 1, stream=1, payload=b"\0" + struct.pack(">I", len(body)) + body))
    heard = b""
    async with asyncio.timeout(5):
        while b"grpc-status-details-bin" not in heard:
            heard += await reader.read(65536)
    writer.close()
    return heard


def http2_frame(kind: int, flags: int, *, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


async def test_a_prompt_over_the_context_that_replicas_report_is_refused_at_the_door(
    start_replica: StartReplica,
) -> None:
    replica = await start_replica("only")
    tokens = generation_pb2.TokenIds(ids=[1] * 5000)
    async with RouterUnderTest(replica.address) as router:
        answer = await router.generate(generation_pb2.GenerateRequest(prompt_tokens=tokens))
    assert answer.violated == ["prompt_tokens"]
    assert not replica.seen

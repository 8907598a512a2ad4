"""What a client asks for, as it arrives at the router."""

import math
from typing import Any, Literal, Unpack

import pytest
from google.protobuf import json_format
from niyama_client import (
    Batch,
    ChatMessage,
    Client,
    GenerateOptions,
    Importance,
    Interactive,
    InvalidRequestError,
    Prompt,
    Qos,
    QosAsk,
    Sampling,
)

from tests.client.scripted_router import ScriptedRouter, answer, serve


async def asked(
    prompt: Prompt = "Hi", *, qos: Qos | None = None, client_app: str = "", **options: Unpack[GenerateOptions]
) -> dict[str, Any]:
    """Return, as a plain mapping, the request that the router gets."""
    router = ScriptedRouter(answer("a"))
    async with serve(router) as address, Client(address, app=client_app) as client:
        await client.generate(prompt, qos=qos, **options).text()
    return json_format.MessageToDict(router.requests[0], preserving_proto_field_name=True)


@pytest.mark.parametrize(
    ("qos", "arrives"),
    [
        (None, {}),
        ("chat", {"qos_class": "chat"}),
        (Interactive(ttft=2.0, tbt=0.05), {"ttft": "2s", "tbt": "0.050s"}),
        (Batch(ttlt=300), {"ttlt": "300s"}),
        (QosAsk("chat", ttft=2.5), {"qos_class": "chat", "ttft": "2.500s"}),
        (QosAsk(ttft=1.0, importance=Importance.LOW), {"ttft": "1s", "importance": "IMPORTANCE_LOW"}),
    ],
)
async def test_a_promise_is_asked_for_by_class_by_times_or_by_both(qos: Qos | None, arrives: dict[str, object]) -> None:
    assert (await asked(qos=qos)).get("qos", {}) == arrives


@pytest.mark.parametrize("importance", ["low", Importance.LOW])
async def test_importance_is_a_word_or_a_value(importance: Importance | Literal["low"]) -> None:
    request = await asked(qos="chat", importance=importance)
    assert request["qos"] == {"qos_class": "chat", "importance": "IMPORTANCE_LOW"}


@pytest.mark.parametrize(
    ("prompt", "arrives"),
    [
        ("Hi", {"prompt": "Hi"}),
        ("", {"prompt": ""}),
        ([1, 2, 3], {"prompt_tokens": {"ids": [1, 2, 3]}}),
        ([ChatMessage("user", "Hi")], {"chat": {"messages": [{"role": "user", "content": "Hi"}]}}),
        ([{"role": "user", "content": "Hi"}], {"chat": {"messages": [{"role": "user", "content": "Hi"}]}}),
    ],
)
async def test_a_prompt_is_text_token_ids_or_a_conversation(prompt: Prompt, arrives: dict[str, object]) -> None:
    request = await asked(prompt)
    assert {key: request[key] for key in ("prompt", "prompt_tokens", "chat") if key in request} == arrives


async def test_options_arrive_as_they_were_given() -> None:
    request = await asked(
        max_tokens=64, request_id="mine", app="search", sampling=Sampling(temperature=0.5, stop=("x",))
    )
    assert (request["max_tokens"], request["request_id"], request["app"]) == (64, "mine", "search")
    assert request["sampling"] == {"temperature": 0.5, "stop": ["x"]}


async def test_the_application_of_the_client_holds_unless_a_request_names_another() -> None:
    assert (await asked(client_app="search"))["app"] == "search"
    assert (await asked(client_app="search", app="mail"))["app"] == "mail"
    assert "app" not in await asked()


async def test_a_request_without_an_id_gets_one() -> None:
    assert len((await asked())["request_id"]) == 32


async def test_a_timeout_travels_to_the_server() -> None:
    router = ScriptedRouter(answer("a"))
    async with serve(router) as address, Client(address) as client:
        await client.generate("Hi", timeout=7.0).text()
        await client.generate("Hi").text()
    first, second = router.timeouts
    assert first is not None
    assert 6.0 < first < 8.0
    assert second is None or second > 3600


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"qos": Interactive(ttft=math.nan, tbt=0.05)}, "qos.ttft"),
        ({"qos": Batch(ttlt=math.inf)}, "qos.ttlt"),
        ({"importance": "urgent"}, "qos.importance"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -3}, "max_tokens"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"prompt": [1, -2]}, "prompt"),
        ({"prompt": [1, "x"]}, "prompt"),
        ({"prompt": [{"role": "user"}]}, "chat.messages"),
        ({"prompt": "half a pair: \udc80"}, "prompt"),
        ({"prompt": "x" * (16 * 1024 * 1024)}, "prompt"),
        ({"app": "\udc80"}, "request"),
        ({"qos": "\udc80"}, "request"),
        ({"sampling": Sampling(top_k=-1)}, "sampling"),
    ],
)
async def test_what_cannot_travel_is_refused_before_it_is_sent(wrong: dict[str, Any], field: str) -> None:
    options: dict[str, Any] = {"prompt": "Hi", **wrong}
    with pytest.raises(InvalidRequestError) as caught:
        Client("localhost:1").generate(options.pop("prompt"), **options)
    assert [violation.field for violation in caught.value.violations] == [field]
    assert caught.value.code == "INVALID_ARGUMENT"

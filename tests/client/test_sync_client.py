"""The synchronous client does what the asynchronous one does, from ordinary threads."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from niyama_client import Interactive, OverloadedError, SyncClient, SyncGeneration
from niyama_runtime.status import overloaded

from tests.client.scripted_router import ScriptedRouter, accepted, answer, serve, tokens

T = TypeVar("T")


async def with_client(router: ScriptedRouter, work: Callable[[SyncClient], T]) -> T:
    """Run `work`, which takes a client, in a thread, next to a server in this loop."""

    def run(address: str) -> T:
        with SyncClient(address) as client:
            return work(client)

    async with serve(router) as address:
        return await asyncio.to_thread(run, address)


async def test_tokens_are_looped_over_and_what_came_of_them_is_told() -> None:
    def read(client: SyncClient) -> tuple[Any, ...]:
        generation = client.generate("Hi", qos="chat", importance="low", max_tokens=3)
        texts = [token.text for token in generation]
        return texts, generation.accepted.promise.slo, generation.completion.on_time, len(generation.tokens)

    router = ScriptedRouter(answer("a", "b"))
    assert await with_client(router, read) == (["a", "b"], Interactive(2.0, 0.05), True, 2)
    assert router.requests[0].max_tokens == 3


async def test_leaving_the_loop_cancels_the_call() -> None:
    def leave(client: SyncClient) -> SyncGeneration:
        generation = client.generate("Hi")
        for _ in generation:
            break
        return generation

    router = ScriptedRouter([accepted(), tokens("a"), 30.0])
    generation = await with_client(router, leave)
    assert [token.text for token in generation.tokens] == ["a"]
    await asyncio.wait_for(router.left.wait(), 5)


async def test_another_thread_may_cancel() -> None:
    def read(client: SyncClient) -> list[str]:
        generation = client.generate("Hi")
        texts = []
        for token in generation:
            texts.append(token.text)
            threading.Timer(0.05, generation.cancel).start()
        return texts

    assert await with_client(ScriptedRouter([accepted(), tokens("a"), 30.0]), read) == ["a"]


async def test_errors_are_the_same() -> None:
    router = ScriptedRouter([overloaded("no room", retry_after=5.0)])
    with pytest.raises(OverloadedError) as caught:
        await with_client(router, lambda client: client.generate("Hi").text())
    assert caught.value.retry_after == 5.0


async def test_the_cluster_can_be_asked() -> None:
    status, description = await with_client(
        ScriptedRouter(answer("a")), lambda client: (client.status(), client.describe())
    )
    assert (status.cluster, description.engine) == ("default/llama", "paced")


async def test_threads_share_one_client() -> None:
    def read(client: SyncClient) -> list[str]:
        texts: list[str] = []
        threads = [threading.Thread(target=lambda: texts.append(client.generate("Hi").text())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return texts

    assert await with_client(ScriptedRouter(answer("a", "b")), read) == ["ab"] * 8


async def test_a_client_that_is_closed_leaves_no_thread_and_says_so() -> None:
    before = set(threading.enumerate())

    def close(client: SyncClient) -> None:
        client.close()
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.status()

    await with_client(ScriptedRouter(answer("a")), close)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "niyama-client"]


async def test_closing_ends_what_another_thread_waits_for() -> None:
    ended = threading.Event()

    def close(client: SyncClient) -> bool:
        def read() -> None:
            with suppress(CancelledError):
                client.generate("Hi").text()
            ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        assert not ended.wait(0.3)
        client.close()
        thread.join(5)
        return ended.is_set()

    assert await with_client(ScriptedRouter([accepted(), 30.0]), close)

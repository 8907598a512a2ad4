"""The SDK and the examples against a real cluster: router, replicas, Redis, as processes."""

import asyncio
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from niyama_cli.state_file import read_state
from niyama_client import (
    Batch,
    ChatMessage,
    Client,
    FinishReason,
    Generation,
    Interactive,
    InvalidRequestError,
    LoadBoardState,
    QosAsk,
    SyncClient,
)

from tests.cli.processes import children_of

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_an_answer_streams_and_its_promise_is_kept(cluster: str) -> None:
    async with Client(cluster) as client:
        generation = client.generate("Why is the sky blue?", qos=Interactive(ttft=2.0, tbt=0.05), max_tokens=20)
        tokens = [token async for token in generation]
    done = generation.completion
    assert [token.position for token in tokens] == list(range(20))
    assert all(earlier.emitted < later.emitted for earlier, later in pairwise(tokens))
    assert generation.accepted.promise.slo == Interactive(ttft=2.0, tbt=0.05)
    assert (done.qos_class, done.engine, done.on_time) == ("chat", "paced", True)
    assert (done.num_output_tokens, done.finish_reason) == (20, FinishReason.LENGTH)
    assert done.ttft == pytest.approx(tokens[0].emitted, abs=1e-3)
    assert done.largest_gap is not None


@pytest.mark.parametrize(
    ("qos", "qos_class"),
    [(None, "chat"), ("summarise", "summarise"), (Batch(ttlt=60.0), "summarise"), (QosAsk("nightly"), "nightly")],
)
async def test_a_class_is_found_by_name_by_times_or_by_default(
    cluster: str, qos: str | Batch | QosAsk | None, qos_class: str
) -> None:
    async with Client(cluster) as client:
        generation = client.generate("Hi", qos=qos, max_tokens=2)
        await generation.text()
    assert generation.completion.qos_class == qos_class


async def test_the_same_prompt_has_the_same_answer_however_it_is_sent(cluster: str) -> None:
    async with Client(cluster) as client:
        one, other = [await client.generate("The same prompt.", max_tokens=8).text() for _ in range(2)]
        chat = await client.generate([ChatMessage("user", "Hi")], max_tokens=3).text()
        ids = client.generate([1, 2, 3, 4], max_tokens=3)
        await ids.text()
    assert one == other
    assert chat
    assert ids.completion.num_prompt_tokens == 4


async def test_what_is_wrong_with_a_request_is_told_with_what_is_allowed(cluster: str) -> None:
    async with Client(cluster) as client:
        with pytest.raises(InvalidRequestError, match="chat, summarise, nightly") as caught:
            await client.generate("Hi", qos="gold").text()
        assert [violation.field for violation in caught.value.violations] == ["qos.qos_class"]
        with pytest.raises(InvalidRequestError, match="prompt"):
            await client.generate("").text()


async def test_the_tokens_of_a_reader_who_left_are_not_computed(cluster: str) -> None:
    async with Client(cluster) as client:
        async for _ in client.generate("A long story, please.", qos="chat", max_tokens=2000):
            break

        async def ended() -> None:
            while any(replica.num_open for replica in (await client.status()).replicas):  # noqa: ASYNC110, another process
                await asyncio.sleep(0.05)

        await asyncio.wait_for(ended(), 5)
        (chat, *_) = (await client.status()).classes
        assert chat.num_cancelled >= 1


async def test_the_cluster_says_what_it_is_and_how_it_fares(cluster: str) -> None:
    async with Client(cluster) as client:
        status, description = await client.status(), await client.describe()
    assert status.cluster == "default/tested"
    # A Redis that is slow for a moment, on a busy machine, counts as away.
    assert status.load_board is not LoadBoardState.UNKNOWN
    assert [row.qos_class for row in status.classes] == ["chat", "summarise", "nightly"]
    assert [replica.load.replica for replica in status.replicas] == ["replica-0", "replica-1"]
    assert (description.model, description.engine, description.replay) == ("tiny", "paced", False)
    assert description.bytes_per_token == 4.0


def test_the_synchronous_client_does_the_same(cluster: str) -> None:
    with SyncClient(cluster) as client:
        generation = client.generate("Hi", qos="chat", max_tokens=5)
        assert len(list(generation)) == 5
        assert generation.completion.on_time
        assert client.describe().model == "tiny"


async def test_a_replica_that_is_killed_does_not_show_in_the_answer(cluster: str, cluster_folder: Path) -> None:
    question = "A long story, please."
    async with Client(cluster) as client:
        generation = client.generate(question, qos="chat", max_tokens=300)
        killed = await read_and_kill(generation, cluster_folder)
        undisturbed = client.generate(question, qos="chat", max_tokens=300)
        await undisturbed.text()
    assert generation.completion.num_moves == 1
    assert generation.completion.replica != killed
    assert [token.id for token in generation.tokens] == [token.id for token in undisturbed.tokens]
    assert [token.position for token in generation.tokens] == list(range(len(undisturbed.tokens)))


async def test_a_router_that_is_killed_does_not_show_in_the_answer(cluster: str, cluster_folder: Path) -> None:
    question = "Another long story, please."
    async with Client(cluster) as client:
        generation = client.generate(question, qos="chat", max_tokens=300)
        await read_and_kill(generation, cluster_folder, role="router-0")
        undisturbed = client.generate(question, qos="chat", max_tokens=300)
        await undisturbed.text()
    assert [token.id for token in generation.tokens] == [token.id for token in undisturbed.tokens]
    assert [token.position for token in generation.tokens] == list(range(len(undisturbed.tokens)))
    assert generation.completion.num_output_tokens == len(undisturbed.tokens)


async def read_and_kill(generation: Generation, cluster_folder: Path, *, role: str = "") -> str:
    """Read an answer to its end, kill its replica or another process on the way, and return which that was."""
    killed = ""
    async for token in generation:
        if token.position == 5:
            killed = role or generation.accepted.replica
            os.kill(process_of(killed, cluster_folder), signal.SIGKILL)
    return killed


def process_of(role: str, cluster_folder: Path) -> int:
    """Return the process of a replica or router of the running cluster."""
    state = read_state(cluster_folder / "state" / "niyama" / "up.json")
    assert state is not None
    for pid in children_of(state.pid):
        if f"{role}.json" in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    pytest.fail(f"{role} has no process")


def run_example(name: str, *arguments: str, address: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        input=stdin,
        env={**os.environ, "NIYAMA_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_chat_example_runs(cluster: str) -> None:
    said = run_example("chat.py", address=cluster, stdin="Hello\nAnd again?\n")
    assert said.count("promise kept") == 2


def test_the_summarise_example_runs(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Some words. " * 100)
    assert "promise kept" in run_example("summarise.py", str(tmp_path / "text.txt"), address=cluster)


async def test_what_is_quoted_is_named_by_class_and_holds(cluster: str) -> None:
    async with Client(cluster) as client:
        quotes = {one.qos_class: one for one in await client.quote(50, num_output_tokens=20)}
        done = client.generate("word " * 40, qos="chat", max_tokens=20)
        await done.text()
    assert list(quotes) == ["chat", "summarise", "nightly"]
    chat = quotes["chat"]
    assert chat.feasible
    assert chat.ttft is not None
    assert chat.ttlt is not None
    assert 0 < chat.ttft < chat.ttlt
    assert chat.replica.startswith("replica-")
    with SyncClient(cluster) as sync:
        assert [one.qos_class for one in await asyncio.to_thread(sync.quote, 50)] == list(quotes)


async def test_a_quote_for_no_prompt_is_refused(cluster: str) -> None:
    async with Client(cluster) as client:
        with pytest.raises(InvalidRequestError, match="num_prompt_tokens"):
            await client.quote(0)

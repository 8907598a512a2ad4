"""A conversation in the terminal, with a promise for a person who reads along.

    niyama up -f examples/niyamacluster.yaml --detach
    python examples/chat.py

Each answer's first token is promised within two seconds and every further one within 50 milliseconds. Ctrl-C in the
middle of an answer ends the call, and the cluster stops computing it.
"""

import asyncio
import os
import sys

from niyama_client import ChatMessage, Client, Interactive, NiyamaError

ADDRESS = os.environ.get("NIYAMA_ADDRESS", "localhost:50051")
PROMISE = Interactive(ttft=2.0, tbt=0.05)


async def main() -> None:
    """Ask, answer, remember, until the input ends."""
    turns: list[ChatMessage] = []
    async with Client(ADDRESS, app="example-chat") as client:
        while question := (await asyncio.to_thread(read_line)).strip():
            turns.append(ChatMessage("user", question))
            turns.append(ChatMessage("assistant", await answer(client, turns)))


async def answer(client: Client, turns: list[ChatMessage]) -> str:
    """Print the answer as it comes, and return it."""
    generation = client.generate(turns, qos=PROMISE, max_tokens=100)
    async for token in generation:
        print(token, end="", flush=True)
    done = generation.completion
    print(f"\n[first token after {done.ttft:.3f} s, promise {'kept' if done.on_time else 'missed'}]\n")
    return "".join(token.text for token in generation.tokens)


def read_line() -> str:
    """Return what the person types; nothing at the end of the input."""
    try:
        return input("> ")
    except EOFError:
        return ""


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except NiyamaError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

"""From prompts to token ids. An engine with a model brings the model's tokenizer; this is the stand-in without one.

The stand-in takes every four bytes of UTF-8 for a token, about what tokenizers of English make of text, so token
counts are realistic, exact, and known without any file.
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["ByteTokenizer", "ChatPrompt", "ChatTurn", "Prompt", "PromptError", "TextPrompt", "TokenPrompt", "Tokenizer"]


class PromptError(ValueError):
    """The model cannot read such a prompt; the message says why."""


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Text to go on from."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids to go on from, taken as they are."""

    token_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn of a conversation: who said what."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation for the model's chat template."""

    turns: tuple[ChatTurn, ...]


Prompt = TextPrompt | TokenPrompt | ChatPrompt


class Tokenizer(Protocol):
    """How a model reads prompts."""

    @property
    def bytes_per_token(self) -> float:
        """Mean bytes of text for each token."""
        ...

    async def encode(self, prompt: Prompt) -> Sequence[int]:
        """Return the token ids of a prompt; a long one may be encoded in another thread.

        Raises:
            PromptError: the model cannot read such a prompt.
        """
        ...


class ByteTokenizer:
    """Takes every four bytes of text for one token."""

    @property
    def bytes_per_token(self) -> float:
        """Four, but for the last token of a text."""
        return 4.0

    async def encode(self, prompt: Prompt) -> Sequence[int]:
        """Return the token ids of a prompt."""
        match prompt:
            case TextPrompt(text=text):
                return _of_text(text)
            case TokenPrompt(token_ids=token_ids):
                return token_ids
            case ChatPrompt(turns=turns):
                return _of_text("".join(f"<|{turn.role}|>\n{turn.content}\n" for turn in turns) + "<|assistant|>\n")


def _of_text(text: str) -> Sequence[int]:
    """Return every four bytes as a little-endian number, the last filled up with zeros."""
    data = text.encode("utf-8", "replace")
    num_tokens = -(-len(data) // 4)
    return array("I", struct.unpack(f"<{num_tokens}I", data.ljust(4 * num_tokens, b"\0")))

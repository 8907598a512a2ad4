"""The tokenizer that comes with a model, as prompts need it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from niyama_agent.tokenizer import ChatPrompt, ChatTurn, Prompt, PromptError, TextPrompt, TokenPrompt

__all__ = ["ModelTokenizer"]

# Shorter text is encoded in less time than another thread takes to begin.
_LONG_TEXT = 4096
_SAMPLE = "The quick brown fox jumps over the lazy dog. Each request carries a promise, and the answer keeps it. "
# How much of the ratio is remembered: the text of this many tokens weighs as much as all before.
_REMEMBERED_TOKENS = 1_000_000


class ModelTokenizer:
    """Reads prompts as a model does.

    Args:
        tokenizer: as transformers makes it.
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401, transformers has no types
        """Measure the ratio of bytes to tokens on a sample; the text that comes corrects it."""
        self._tokenizer = tokenizer
        self._num_tokens = self._num_bytes = 0
        self._count(_SAMPLE, self._encode_text(_SAMPLE))

    @property
    def bytes_per_token(self) -> float:
        """Mean bytes of text for each token, over the text so far."""
        return self._num_bytes / self._num_tokens

    async def encode(self, prompt: Prompt) -> Sequence[int]:
        """Return the token ids of a prompt; a long one is encoded in another thread.

        Raises:
            PromptError: the model cannot read such a prompt.
        """
        match prompt:
            case TokenPrompt(token_ids=token_ids):
                return token_ids
            case TextPrompt(text=text):
                token_ids = await _aside(self._encode_text, text, size=len(text))
                self._count(text, token_ids)
                return token_ids
            case ChatPrompt(turns=turns):
                return await _aside(self._encode_chat, turns, size=sum(len(turn.content) for turn in turns))

    def _encode_text(self, text: str) -> Sequence[int]:
        encoded: Sequence[int] = self._tokenizer.encode(text)
        return encoded

    def _encode_chat(self, turns: Sequence[ChatTurn]) -> Sequence[int]:
        conversation = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            encoded: Sequence[int] = self._tokenizer.apply_chat_template(
                conversation, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        # The template is a program of the model's: it may fail in any way.
        except Exception as error:
            raise PromptError(f"the model's chat template refuses it: {' '.join(str(error).split())}") from error
        return encoded

    def _count(self, text: str, token_ids: Sequence[int]) -> None:
        if not token_ids:
            return
        if self._num_tokens > _REMEMBERED_TOKENS:
            self._num_tokens //= 2
            self._num_bytes //= 2
        self._num_tokens += len(token_ids)
        self._num_bytes += len(text.encode("utf-8", "replace"))


async def _aside(encode: Any, prompt: Any, *, size: int) -> Sequence[int]:  # noqa: ANN401, one of two pairs
    """Encode here or, what is long, in another thread."""
    encoded: Sequence[int] = await asyncio.to_thread(encode, prompt) if size > _LONG_TEXT else encode(prompt)
    return encoded

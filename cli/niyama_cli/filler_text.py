"""Prompts that say nothing, as long as one likes: what a load generator sends in place of people's words."""

import random

__all__ = ["FillerText"]

_WORDS = "the of and to in that it is was for on with he be at by this had not are but from or have an they which one"


class FillerText:
    """Makes prompts of so many tokens, by the mean bytes a token of the tokenizer that will read them.

    Each begins with the request's id, so that no two share a prefix that a cache could spare.
    """

    def __init__(self, bytes_per_token: float) -> None:
        self._bytes_per_token = max(bytes_per_token, 1.0)
        self._rng = random.Random(0)
        self._words = _WORDS.split()
        self._filler = ""

    def prompt(self, request_id: str, num_tokens: int) -> str:
        """Return a prompt of about `num_tokens` tokens; never an empty one."""
        size = max(1, int(num_tokens * self._bytes_per_token))
        while len(self._filler) < size:
            self._filler += " ".join(self._rng.choices(self._words, k=4096)) + " "
        return f"{request_id} {self._filler[:size]}"[:size]

"""The answers of an engine without a model: tokens by hash, lengths by hash, text of plain words.

Each token is a hash of the prompt and of all tokens so far, so the answer to a prompt is the same everywhere, goes on
identically from prompt plus tokens so far, and differs at once when one of those is wrong or missing.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from statistics import NormalDist

__all__ = ["VOCABULARY_SIZE", "TokenChain", "complaint", "natural_length", "text_of"]

VOCABULARY_SIZE = 131_072

_MEDIAN_LENGTH = 100
_LENGTH_SIGMA = 0.7
_COMMON_WORDS = (
    "the a of to and in is it that was for on are with as at be this have from or one had by word but not what all "
    "were we when your can said there use an each which she do how their if will up other about out many then them "
    "these so some her would make like him into time has look two more write go see number no way could people my "
    "than first water been call who oil its now find long down day did get come made may part over new sound take "
    "only little work know place year live me back give most very after thing our just name good sentence man think "
    "say great where help through much before line right too mean old any same tell boy follow came want show also "
    "around form three small set put end does another well large must big even such because turn here why ask went "
    "men read need land different home us move try kind hand picture again change off play spell air away animal "
    "house point page letter mother answer found study still learn should world high every near add food between"
)
_WORDS = tuple(_COMMON_WORDS.split())


class TokenChain:
    """The tokens of one answer, one after the other.

    Args:
        prompt_token_ids: what the answer goes on from.
        emitted_token_ids: tokens of the answer that are known already.
    """

    def __init__(self, prompt_token_ids: Sequence[int], emitted_token_ids: Sequence[int] = ()) -> None:
        """Stand behind the last of the known tokens."""
        self._hash = blake2b(_packed(prompt_token_ids), digest_size=8)
        self._hash.update(_packed(emitted_token_ids))

    def next_token(self) -> int:
        """Return the next token and step behind it."""
        token_id = _number(self._hash.copy().digest()) % VOCABULARY_SIZE
        self._hash.update(_packed((token_id,)))
        return token_id


def natural_length(prompt_token_ids: Sequence[int]) -> int:
    """Return how many tokens the answer to a prompt has when nothing cuts it off: log-normal, median 100."""
    digest = blake2b(_packed(prompt_token_ids), digest_size=8, person=b"length").digest()
    # 53 bits: with more a float would round the largest share up to 1.
    share = ((_number(digest) >> 11) + 0.5) / 2**53
    return max(1, round(_MEDIAN_LENGTH * math.exp(_LENGTH_SIGMA * NormalDist().inv_cdf(share))))


def complaint(
    prompt_token_ids: Sequence[int], token_ids: Sequence[int], *, max_tokens: int, is_whole: bool = True
) -> str:
    """Return how an answer differs from what an undisturbed engine says to a prompt; nothing when it does not.

    Of an answer that is not `is_whole` only the tokens that are there are compared.
    """
    chain = TokenChain(prompt_token_ids)
    wanted = [chain.next_token() for _ in range(min(max_tokens, natural_length(prompt_token_ids)))]
    if list(token_ids) == (wanted if is_whole else wanted[: len(token_ids)]):
        return ""
    pairs = enumerate(zip(token_ids, wanted, strict=False))
    first = next((index for index, (one, other) in pairs if one != other), min(len(token_ids), len(wanted)))
    return f"{len(token_ids)} tokens of {len(wanted)}, the first wrong one at {first}"


def text_of(token_ids: Iterable[int]) -> str:
    """Return tokens as words, each with a space behind it, so that texts can be put together."""
    return "".join(f"{_WORDS[token_id % len(_WORDS)]} " for token_id in token_ids)


def _packed(token_ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(token_ids)}I", *token_ids)


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")

"""What a simulated engine alone knows of its requests: how long their answers are, and what they hold in the KV cache.

Who decodes has a token of every iteration, until the answer ends. So the instants of all iterations are noted once, an
answer knows since which of them it decodes, and its share is written down when it leaves: an iteration costs the same
however many decode.
"""

from array import array
from collections import defaultdict
from dataclasses import dataclass

__all__ = ["Answers"]


@dataclass(slots=True, eq=False)
class _Answer:
    """One request's.

    Attributes:
        tokens_left: still to emit; of one that decodes, those after its first token.
        emitted_at: the instants of those emitted.
        kv_tokens: in the KV cache.
        since: the iteration since which it decodes.
    """

    request_id: str
    tokens_left: int
    emitted_at: "array[float]"
    kv_tokens: int = 0
    since: int = 0

    @property
    def ends_with(self) -> int:
        """The iteration, by its number, that brings the last token."""
        return self.since + self.tokens_left


class Answers:
    """The answers that an engine gives."""

    def __init__(self) -> None:
        """Start without requests."""
        self.kv_used_tokens = 0
        """Tokens in the KV cache."""
        self._answers: dict[str, _Answer] = {}
        self._opened_since_plan: set[str] = set()
        self._instants = array("d")
        self._decoding: dict[str, _Answer] = {}
        self._ending: defaultdict[int, dict[str, _Answer]] = defaultdict(dict)

    def __len__(self) -> int:
        """Return how many requests are live."""
        return len(self._answers)

    def open(self, request_id: str, *, num_tokens: int, emitted_at: "array[float]") -> None:
        """Begin an answer of so many tokens, whose instants go into `emitted_at`: all of them when it is closed."""
        self._answers[request_id] = _Answer(request_id, num_tokens, emitted_at)
        self._opened_since_plan.add(request_id)

    def close(self, request_id: str) -> None:
        """Forget a request, if it is known, and free its KV."""
        if request_id in self._answers:
            self.empty(request_id)
            del self._answers[request_id]

    def empty(self, request_id: str) -> None:
        """Free the KV of a request."""
        answer = self._answers[request_id]
        if request_id in self._decoding:
            self._write(answer)
            del self._decoding[request_id]
        self.kv_used_tokens -= answer.kv_tokens
        answer.kv_tokens = 0

    def note_plan(self) -> None:
        """Note that an iteration is planned: what it computes is for those that are known now."""
        self._opened_since_plan.clear()

    def decode(self, request_ids: tuple[str, ...], now: float) -> tuple[int, list[str]]:
        """Give a token to each of these requests, but those let go since; return how many, and whose answer ended."""
        skipped = [] if request_ids == tuple(self._decoding) else self._all_but(request_ids)
        for answer in skipped:
            self._write(answer)
        num_decoded = len(self._decoding) - len(skipped)
        self.kv_used_tokens += num_decoded
        self._instants.append(now)
        for answer in skipped:
            self._resume(answer)
        return num_decoded, [*self._ending.pop(len(self._instants), ())]

    def prefill(self, request_id: str, num_tokens: int) -> None:
        """Count the KV of a chunk, unless its request was let go since the plan: its name may have come again."""
        if request_id in self._answers and request_id not in self._opened_since_plan:
            self._answers[request_id].kv_tokens += num_tokens
            self.kv_used_tokens += num_tokens

    def begin(self, request_id: str, now: float) -> bool:
        """Give a request the token that its prefill ends with; return whether that ended its answer."""
        answer = self._answers[request_id]
        answer.emitted_at.append(now)
        answer.tokens_left -= 1
        if answer.tokens_left <= 0:
            return True
        self._resume(answer)
        return False

    def _resume(self, answer: _Answer) -> None:
        """Let an answer have a token of every iteration from the next one on."""
        answer.since = len(self._instants)
        self._decoding[answer.request_id] = answer
        self._ending[answer.ends_with][answer.request_id] = answer

    def _write(self, answer: _Answer) -> None:
        """Write down the tokens that an answer has had since it decodes."""
        ending = self._ending.get(answer.ends_with)
        if ending is not None:
            ending.pop(answer.request_id, None)
        instants = self._instants[answer.since :]
        answer.emitted_at.extend(instants)
        answer.tokens_left -= len(instants)
        answer.kv_tokens += len(instants)

    def _all_but(self, request_ids: tuple[str, ...]) -> list[_Answer]:
        """Return those that decode and are not among these."""
        ran = set(request_ids)
        return [answer for answer in self._decoding.values() if answer.request_id not in ran]

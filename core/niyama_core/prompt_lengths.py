"""How long prompts tend to be: a histogram that forgets, for rules that ask what is long.

Apart because no rule may hold a length in tokens for long or short: traffic differs, and changes.
"""

import math
from collections import defaultdict

__all__ = ["PromptLengths"]

_BANDS_PER_OCTAVE = 8
_MEMORY = 8192
_FEW_PROMPTS = 64


class PromptLengths:
    """The lengths of late prompts, in bands that are an eighth of an octave wide."""

    def __init__(self) -> None:
        """Start without any."""
        self._counts: defaultdict[int, int] = defaultdict(int)
        self._num_prompts = 0

    def record(self, num_tokens: int) -> None:
        """Count a prompt; once there are many, the older ones count half."""
        self._counts[math.floor(_BANDS_PER_OCTAVE * math.log2(max(1, num_tokens)))] += 1
        self._num_prompts += 1
        if self._num_prompts >= _MEMORY:
            self._counts = defaultdict(int, {band: num // 2 for band, num in self._counts.items() if num > 1})
            self._num_prompts = sum(self._counts.values())

    def quantile(self, share: float) -> float:
        """Return the length that `share` of the prompts are below, to 9 % and rather less; infinite for a few."""
        if self._num_prompts < _FEW_PROMPTS:
            return math.inf
        below = 0
        for band in sorted(self._counts):
            below += self._counts[band]
            if below >= share * self._num_prompts:
                return float(2.0 ** (band / _BANDS_PER_OCTAVE))
        return math.inf

"""What no policy can exceed: a bound on the requests per second of one replica, proved from its latency law.

The bound is a relaxation. Whatever a policy does, the iterations of a long run compute every prompt token and every
answer token but the first. Give each a *price* in seconds, by its position in its request, such that no iteration that
an engine could run takes less than the prices of what is in it. Then the run takes at least the prices of all tokens,
and a request at least the price of its own. The highest such prices, found by a linear program, give the lowest bound.
Nothing in it knows deadlines, arrivals or an order, so no policy can beat it, not even one that knows everything; that
one reaches it is not promised. docs/limits.md has the proof.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from niyama_core.latency import LatencyModel, LinearPiece, PhysicalLaw, TwoPieceLaw
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array

__all__ = ["Iterations", "Limit", "Prices", "UnprovedError", "stationary_limit"]

Vector = NDArray[np.float64]
Lengths = Sequence[tuple[int, int]]
# Positions are priced in bands; within a band all tokens pay what the first of it costs.
_BAND_TOKENS = 64


class UnprovedError(ValueError):
    """No bound is proved for this law; the message says for which one is."""


@dataclass(frozen=True, slots=True)
class Iterations:
    """The iterations that an engine may run.

    Attributes:
        max_tokens: the most tokens of one.
        max_num_seqs: the most requests of one.
        kv_capacity_tokens: what the KV cache holds.
    """

    max_tokens: int = 2552
    max_num_seqs: int = 1000
    kv_capacity_tokens: int = 430_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Seconds that tokens cost at least, summed up from the first position on.

    Attributes:
        edges: positions between the bands, from 0 on.
        prompt: seconds of the prompt tokens before each edge.
        answer: seconds of the answer tokens that are computed beside a context shorter than each edge, one of each.
    """

    edges: Vector
    prompt: Vector
    answer: Vector

    def prompt_seconds(self, prompts: Vector) -> Vector:
        """Return the least seconds of prompts of so many tokens."""
        return np.interp(prompts, self.edges, self.prompt)

    def answer_seconds(self, prompts: Vector, answers: Vector) -> Vector:
        """Return the least seconds of the answers to such prompts, whose first tokens the prompts' prefill gives."""
        ends = prompts + np.maximum(answers - 1, 0)
        seconds: Vector = np.interp(ends, self.edges, self.answer) - np.interp(prompts, self.edges, self.answer)
        return seconds


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound.

    Attributes:
        qps: requests per second that no policy exceeds in the long run.
        prompt_seconds: what the prompt of a mean request costs at least.
        answer_seconds: what its answer costs at least.
        prices: by which both are reckoned.
    """

    qps: float
    prompt_seconds: float
    answer_seconds: float
    prices: Prices


def stationary_limit(lengths: Lengths, law: LatencyModel, *, iterations: Iterations | None = None) -> Limit:
    """Return the bound for requests of such lengths.

    Args:
        lengths: prompt and answer tokens of each request; a sample of the traffic.
        law: seconds that an iteration takes.
        iterations: what an engine may run.

    Raises:
        UnprovedError: no bound is proved for a law of this form.
        ValueError: there are no lengths.
    """
    if not lengths:
        raise ValueError("no lengths are given: a limit is one of some traffic")
    prompts, answers = np.asarray(lengths, dtype=np.float64).T
    iterations = iterations or Iterations()
    pieces = list(_pieces(law, iterations.max_tokens))
    prices = _highest_prices(prompts, answers, pieces=pieces, iterations=iterations)
    prompt = float(prices.prompt_seconds(prompts).mean())
    answer = float(prices.answer_seconds(prompts, answers).mean())
    return Limit(1.0 / (prompt + answer), prompt, answer, prices)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Iterations in which the law is linear.

    Attributes:
        intercept: seconds of each.
        token: seconds of a prompt token.
        position: seconds of it for each token before it.
        context: seconds of a chunk for each token before the chunk.
        answer: seconds of an answer token.
        answer_context: seconds of it for each token before it.
        fewest: the fewest tokens of one.
        most: the most tokens of one.
    """

    intercept: float
    token: float
    position: float
    context: float
    answer: float
    answer_context: float
    fewest: int
    most: int


def _pieces(law: LatencyModel, max_tokens: int) -> Iterator[_Piece]:
    """Yield pieces that cover all iterations and are nowhere above the law.

    Raises:
        UnprovedError: the law has another form.
    """
    match law:
        case TwoPieceLaw(split_tokens=split, below=below, above=above):
            for piece, fewest, most in ((below, 1, min(split, max_tokens)), (above, split + 1, max_tokens)):
                if fewest <= most:
                    yield _linear_piece(piece, fewest=fewest, most=most)
        case PhysicalLaw():
            yield from _physical_pieces(law, max_tokens)
        case _:
            known = f"{TwoPieceLaw.__name__} and {PhysicalLaw.__name__}"
            raise UnprovedError(f"{type(law).__name__}: limits are proved for {known} only")


def _linear_piece(piece: LinearPiece, *, fewest: int, most: int) -> _Piece:
    return _Piece(
        intercept=piece.intercept,
        token=piece.prefill,
        position=0.0,
        context=piece.prefill_context,
        answer=piece.decode,
        answer_context=piece.decode_context,
        fewest=fewest,
        most=most,
    )


def _physical_pieces(law: PhysicalLaw, max_tokens: int) -> Iterator[_Piece]:
    """Yield the pieces between the floor, the step and the most tokens.

    What any prompt costs once is spread over the most tokens that may share it, which is less than it costs.
    """
    cuts = sorted({0, *(cut for cut in (law.floor_tokens, law.step_tokens) if cut < max_tokens)})
    for below, most in pairwise([*cuts, max_tokens]):
        is_flat = most <= law.floor_tokens
        token = 0.0 if is_flat else law.token
        flat = law.token * law.floor_tokens if is_flat else 0.0
        yield _Piece(
            intercept=law.base + flat + (law.step if below >= law.step_tokens else 0.0),
            token=token + law.prefill + law.any_prefill / most,
            position=law.attention,
            context=0.0,
            answer=token + law.decode,
            answer_context=law.decode_context,
            fewest=below + 1,
            most=most,
        )


def _highest_prices(prompts: Vector, answers: Vector, *, pieces: Sequence[_Piece], iterations: Iterations) -> Prices:
    """Return the prices that make such requests the dearest, while no iteration is cheaper than what is in it.

    The variables are the summed prices at the edges of the bands, of prompts and of answers, and for each piece four
    multipliers: of the most tokens, the fewest, the most requests and the KV cache. By duality an iteration is nowhere
    cheaper than its prices if the multipliers pay for each chunk and each answer token what its price is above its
    cost, and come to no more than the intercept together.
    """
    edges = np.arange(0.0, float((prompts + answers).max()) + 2 * _BAND_TOKENS, _BAND_TOKENS)
    num = len(edges)
    program = _Program(num_variables=2 * num + 4 * len(pieces))
    for place, piece in enumerate(pieces):
        first = 2 * num + 4 * place
        multipliers = _Multipliers(first, first + 1, first + 2, first + 3)
        _let_chunks_pay(program, piece, multipliers=multipliers, edges=edges)
        _let_answers_pay(program, piece, multipliers=multipliers, edges=edges)
        whole = {
            multipliers.most: piece.most,
            multipliers.fewest: -piece.fewest,
            multipliers.seqs: iterations.max_num_seqs,
            multipliers.kv: iterations.kv_capacity_tokens,
        }
        program.require(whole, at_most=piece.intercept)
    ends = prompts + np.maximum(answers - 1, 0)
    worth = np.concatenate([_weights(prompts, edges), _weights(ends, edges) - _weights(prompts, edges)])
    found = program.maximise(worth, num_free=2 * num, zero=(0, num))
    return Prices(edges, found[:num], found[num : 2 * num])


@dataclass(frozen=True, slots=True)
class _Multipliers:
    """Which variables of the program are the multipliers of a piece."""

    most: int
    fewest: int
    seqs: int
    kv: int


def _let_chunks_pay(program: "_Program", piece: _Piece, *, multipliers: _Multipliers, edges: Vector) -> None:
    for start, end in _chunks(piece, edges):
        taken = end - start
        terms = {**_at(end, 1.0), multipliers.most: -taken, multipliers.fewest: taken}
        for variable, share in _at(start, -1.0).items():
            terms[variable] = terms.get(variable, 0.0) + share
        seconds = taken * (piece.token + piece.position * start) + piece.context * start
        program.require(terms, at_most=seconds)


def _let_answers_pay(program: "_Program", piece: _Piece, *, multipliers: _Multipliers, edges: Vector) -> None:
    for band, start in enumerate(map(float, edges[:-1])):
        price = {len(edges) + band + 1: 1 / _BAND_TOKENS, len(edges) + band: -1 / _BAND_TOKENS}
        held = {multipliers.most: -1.0, multipliers.fewest: 1.0, multipliers.seqs: -1.0, multipliers.kv: -start}
        program.require(price | held, at_most=piece.answer + piece.answer_context * start)


def _chunks(piece: _Piece, edges: Vector) -> Iterator[tuple[float, float]]:
    """Yield the chunks, as positions of their starts and ends, that stand for all of a piece.

    Prices and costs are linear between edges, so what holds for chunks from edge to edge, and for the longest from an
    edge or to one, holds for all. Where no chunk pays for its context, those of one band stand for all.
    """
    last = float(edges[-1])
    longest = float(piece.most) if piece.context else float(_BAND_TOKENS)
    for start in map(float, edges[:-1]):
        for end in np.arange(start + _BAND_TOKENS, min(start + longest, last) + 1, _BAND_TOKENS):
            yield start, float(end)
        if start + longest <= last:
            yield start, start + longest
        if start >= longest:
            yield start - longest, start


def _at(position: float, share: float) -> dict[int, float]:
    """Return the summed price at a position, as shares of those at the edges beside it."""
    before, beyond = divmod(position, _BAND_TOKENS)
    part = beyond / _BAND_TOKENS
    shares = {int(before): share * (1 - part)}
    if part:
        shares[int(before) + 1] = share * part
    return shares


def _weights(positions: Vector, edges: Vector) -> Vector:
    """Return the mean of `_at` over many positions, as one vector."""
    before = np.floor(positions / _BAND_TOKENS).astype(int)
    part = positions / _BAND_TOKENS - before
    shares: Vector = np.bincount(before, 1 - part, len(edges)).astype(np.float64)
    shares += np.bincount(before + 1, part, len(edges))
    return shares / len(positions)


class _Program:
    """A linear program, put together row by row."""

    def __init__(self, num_variables: int) -> None:
        """Start without rows."""
        self._num_variables = num_variables
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._values: list[float] = []
        self._bounds: list[float] = []

    def require(self, terms: Mapping[int, float], *, at_most: float) -> None:
        """Let a sum of variables come to at most a bound."""
        self._rows += [len(self._bounds)] * len(terms)
        self._columns += terms.keys()
        self._values += terms.values()
        self._bounds.append(at_most)

    def maximise(self, worth: Vector, *, num_free: int, zero: Sequence[int]) -> Vector:
        """Return the variables that make `worth` of the first of them the most.

        Args:
            worth: of each of the first variables.
            num_free: how many of them may be below 0; the others may not.
            zero: those that are 0.

        Raises:
            UnprovedError: there are none.
        """
        objective = np.zeros(self._num_variables)
        objective[: len(worth)] = -worth
        bounds: list[tuple[float | None, float | None]] = [(None, None)] * num_free
        bounds += [(0.0, None)] * (self._num_variables - num_free)
        for variable in zero:
            bounds[variable] = (0.0, 0.0)
        shape = (len(self._bounds), self._num_variables)
        rows = csr_array((self._values, (self._rows, self._columns)), shape=shape)
        found = linprog(objective, A_ub=rows, b_ub=self._bounds, bounds=bounds, method="highs")
        if not found.success:
            raise UnprovedError(f"no prices bound this law: {found.message}")
        best: Vector = found.x
        return best

"""Answers by hash, and the tokenizer that goes with them."""

import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_agent.paced_tokens import VOCABULARY_SIZE, TokenChain, complaint, natural_length, text_of
from niyama_agent.tokenizer import ByteTokenizer, ChatPrompt, ChatTurn, TextPrompt, TokenPrompt

TOKEN_IDS = st.lists(st.integers(0, 2**32 - 1), max_size=50)


def answer(chain: TokenChain, num_tokens: int) -> list[int]:
    return [chain.next_token() for _ in range(num_tokens)]


@given(TOKEN_IDS, st.integers(0, 20))
def test_an_answer_goes_on_the_same_from_any_of_its_tokens(prompt: list[int], num_kept: int) -> None:
    whole = answer(TokenChain(prompt), 30)
    assert answer(TokenChain(prompt, whole[:num_kept]), 30 - num_kept) == whole[num_kept:]


@given(TOKEN_IDS, st.integers(0, 2**32 - 1))
def test_a_token_too_many_changes_what_follows(prompt: list[int], extra: int) -> None:
    assert answer(TokenChain(prompt), 4) != answer(TokenChain(prompt, [extra]), 4)


def test_tokens_are_within_the_vocabulary_and_hardly_ever_the_same() -> None:
    token_ids = answer(TokenChain([1, 2, 3]), 1000)
    assert all(0 <= token_id < VOCABULARY_SIZE for token_id in token_ids)
    assert len(set(token_ids)) > 980


def test_text_is_one_word_a_token_however_it_is_cut() -> None:
    token_ids = answer(TokenChain([1]), 40)
    assert len(text_of(token_ids).split()) == 40
    assert text_of(token_ids[:15]) + text_of(token_ids[15:]) == text_of(token_ids)


def test_natural_lengths_spread_around_a_hundred() -> None:
    lengths = [natural_length([i]) for i in range(2000)]
    assert 90 < median(lengths) < 110
    assert min(lengths) < 30
    assert max(lengths) > 400


@given(st.text(max_size=200))
async def test_every_four_bytes_are_a_token(text: str) -> None:
    token_ids = await ByteTokenizer().encode(TextPrompt(text))
    assert len(token_ids) == math.ceil(len(text.encode("utf-8", "replace")) / 4)


async def test_different_texts_are_different_tokens_and_token_ids_stay_as_they_are() -> None:
    tokenizer = ByteTokenizer()
    assert list(await tokenizer.encode(TextPrompt("hello"))) != list(await tokenizer.encode(TextPrompt("hellO")))
    assert list(await tokenizer.encode(TokenPrompt((5, 6)))) == [5, 6]


@pytest.mark.parametrize("role", ["user", "system"])
async def test_who_says_something_in_a_chat_matters(role: str) -> None:
    tokenizer = ByteTokenizer()
    said = await tokenizer.encode(ChatPrompt((ChatTurn(role, "hello"),)))
    by_another = await tokenizer.encode(ChatPrompt((ChatTurn("assistant", "hello"),)))
    assert list(said) != list(by_another)


def test_an_answer_is_complained_of_when_it_is_not_what_an_undisturbed_engine_says() -> None:
    prompt = [1, 2, 3]
    chain = TokenChain(prompt)
    answer = [chain.next_token() for _ in range(20)]
    assert complaint(prompt, answer, max_tokens=20) == ""
    assert complaint(prompt, answer[:7], max_tokens=20) == "7 tokens of 20, the first wrong one at 7"
    assert complaint(prompt, answer[:7], max_tokens=20, is_whole=False) == ""
    doubled = [*answer[:5], answer[4], *answer[5:-1]]
    assert complaint(prompt, doubled, max_tokens=20) == "20 tokens of 20, the first wrong one at 5"
    assert complaint(prompt, [*answer, 1], max_tokens=20) == "21 tokens of 20, the first wrong one at 20"

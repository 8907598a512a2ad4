"""Reading traces in the form in which their authors publish them."""

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_eval.errors import TraceError
from niyama_eval.traces import MAX_TOKENS, TraceRequest, read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
SHAREGPT = "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n"


def write(folder: Path, text: str, *, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refusal(folder: Path, text: str) -> TraceError:
    with pytest.raises(TraceError) as caught:
        read_trace(write(folder, text))
    return caught.value


def test_the_azure_file_of_2023_is_read_as_it_was_published(tmp_path: Path) -> None:
    text = AZURE + "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8"
    first, second = read_trace(write(tmp_path, text.replace("\n", "\r\n")))
    assert first == TraceRequest(arrival=0.0, num_prompt_tokens=4808, num_output_tokens=10)
    assert second.arrival == pytest.approx(0.052)


def test_the_azure_file_of_2024_spells_its_times_with_a_zone(tmp_path: Path) -> None:
    text = AZURE + "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01+00:00,2399,6\n"
    trace = read_trace(write(tmp_path, text))
    assert [request.arrival for request in trace] == [0.0, pytest.approx(0.99007)]


def test_sharegpt_lengths_have_no_times(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, SHAREGPT + "74,918,992,0.08\n290,905,1195,0.32\n"))
    assert list(trace) == [TraceRequest(None, 74, 918), TraceRequest(None, 290, 905)]
    assert trace.arrivals is None


def test_a_compressed_file_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(gzip.compress((SHAREGPT + "1,2,3,0.5\n").encode()))
    assert list(read_trace(path)) == [TraceRequest(None, 1, 2)]


def test_columns_may_come_in_any_order_after_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeffGeneratedTokens,TIMESTAMP,ContextTokens\n7,2023-11-16 18:00:00,9\n\n"
    assert list(read_trace(write(tmp_path, text))) == [TraceRequest(0.0, 9, 7)]


def test_a_trace_is_named_as_its_file_without_the_endings(tmp_path: Path) -> None:
    path = write(tmp_path, SHAREGPT + "1,2,3,1\n", name="sharegpt_8k.filtered.csv")
    assert read_trace(path).name == "sharegpt_8k"


def test_reading_can_stop_early_and_then_does_not_see_what_follows(tmp_path: Path) -> None:
    path = write(tmp_path, SHAREGPT + "1,2,3,1\n3,4,7,1\nnonsense,,,\n")
    assert len(read_trace(path, max_rows=2)) == 2


def test_a_whole_number_written_as_a_decimal_is_one(tmp_path: Path) -> None:
    assert list(read_trace(write(tmp_path, SHAREGPT + "74.0,918.0,992.0,0.1\n"))) == [TraceRequest(None, 74, 918)]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("-5", "negative"),
        ("nan", "no count"),
        ("inf", "no count"),
        ("1.5", "no count"),
        ("many", "no number"),
        ("", "empty"),
        ("1000000", f"above the bound of {MAX_TOKENS}"),
        ("9" * 5000, "no count"),
    ],
)
def test_a_count_that_cannot_be_is_refused_with_file_row_and_column(tmp_path: Path, prompt: str, words: str) -> None:
    error = refusal(tmp_path, f"{AZURE}2023-11-16 18:00:00,10,1\n2023-11-16 18:00:01,{prompt},1\n")
    assert (Path(error.path).name, error.row, error.column) == ("trace.csv", 3, "ContextTokens")
    assert words in str(error)


def test_the_bound_on_tokens_is_the_callers_to_raise(tmp_path: Path) -> None:
    path = write(tmp_path, SHAREGPT + "1000000,1,1000001,1\n")
    assert next(iter(read_trace(path, max_tokens=1_000_000))).num_prompt_tokens == 1_000_000


@pytest.mark.parametrize(
    ("time", "words"),
    [("2023-11-16 17:59:59", "before the row above"), ("yesterday", "no time"), ("nan", "no time"), ("12", "no time")],
)
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, time: str, words: str) -> None:
    error = refusal(tmp_path, f"{AZURE}2023-11-16 18:00:00,10,1\n{time},10,1\n")
    assert (error.row, error.column) == (3, "TIMESTAMP")
    assert words in str(error)


def test_a_row_that_is_too_short_names_the_column_it_lacks(tmp_path: Path) -> None:
    error = refusal(tmp_path, AZURE + "2023-11-16 18:00:00,10\n")
    assert (error.row, error.column) == (2, "GeneratedTokens")


def test_a_missing_column_is_named_with_the_headers_that_are_known(tmp_path: Path) -> None:
    error = refusal(tmp_path, "TIMESTAMP,ContextTokens\n2023-11-16 18:00:00,10\n")
    assert (error.row, error.column) == (1, "GeneratedTokens")
    assert "TIMESTAMP,ContextTokens,GeneratedTokens or num_prefill_tokens,num_decode_tokens" in str(error)


@pytest.mark.parametrize("text", ["", "\n", AZURE, AZURE + "\n\n"])
def test_a_file_without_requests_is_refused(tmp_path: Path, text: str) -> None:
    refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "broken.csv.gz").write_bytes(b"\x1f\x8b" + b"\x08" + b"\x00" * 7 + b"\xff" * 40)
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    for name in ("broken.csv.gz", "picture.csv", "absent.csv", "."):
        with pytest.raises(TraceError, match="name a CSV file"):
            read_trace(tmp_path / name)


def test_a_compressed_file_that_breaks_off_is_refused_with_the_last_row_that_could_be_read(tmp_path: Path) -> None:
    rows = "".join(f"{prompt},2,3,1\n" for prompt in range(5000))
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress((SHAREGPT + rows).encode())[:-20])
    with pytest.raises(TraceError, match="breaks off; fetch it again") as caught:
        read_trace(path)
    assert 1000 < (caught.value.row or 0) < 5002


@given(st.binary(max_size=300))
def test_no_content_whatever_ends_in_another_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "trace.csv"
    path.write_bytes(AZURE.encode() + content)
    with suppress(TraceError):
        assert len(read_trace(path)) > 0

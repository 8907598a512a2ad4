"""Iteration records from CSV: whatever cannot be is refused, with file, row and column."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from niyama_core.iteration_csv import COLUMNS, iteration_row
from niyama_core.latency import IterationShape
from niyama_core.plan import Chunk, IterationPlan
from niyama_eval.errors import RecordsError
from niyama_eval.iteration_records import LEAST_RECORDS, read_records

HEADER = "prefill_tokens,num_decodes,decode_context_tokens,prefill_context_tokens,prefill_attention,seconds"
ROW = "256,8,9000,0,32768.0,0.045"


def a_file(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "iterations.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_what_the_planner_ran_reads_back_as_it_was(tmp_path: Path) -> None:
    shape = IterationShape(256, 8, 9000, 10, 256 * 138.0)
    plan = IterationPlan(("d",), (Chunk("a", 256),), (), (), shape, 0.5, 264, 0.04)
    row = iteration_row(plan, 0.1 + 0.2)
    records = read_records([a_file(tmp_path, *[row] * LEAST_RECORDS, header=",".join(COLUMNS))])
    assert set(records.shapes()) == {shape}
    assert set(records.seconds.tolist()) == {0.1 + 0.2}


def test_several_files_are_read_one_after_the_other_plain_or_gzip(tmp_path: Path) -> None:
    plain = a_file(tmp_path, *[ROW] * 300)
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert len(read_records([plain, packed])) == 600


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("-1,8,9000,0,0,0.045", "row 3, column prefill_tokens: -1 cannot be: give a number from 0"),
        ("256,8,nan,0,0,0.045", "row 3, column decode_context_tokens: nan cannot be"),
        ("256,8,9000,0,inf,0.045", "row 3, column prefill_attention: inf cannot be"),
        ("256,8,9000,0,0,1e999", "row 3, column seconds: 1e999 cannot be"),
        ("256,8.5,9000,0,0,0.045", "row 3, column num_decodes: 8.5 is no count"),
        ("256,x,9000,0,0,0.045", "row 3, column num_decodes: 'x' is no number"),
        ("256,8,9000,0,0,0", "row 3, column seconds: 0 s is no time of an iteration"),
        ("256,8,9000,0,0,4000", "row 3, column seconds: 4000 s is no time of an iteration"),
        ("256,8,9000,0,0", "row 3, column seconds: is empty"),
        ("256,8,,0,0,0.045", "row 3, column decode_context_tokens: is empty"),
        ("0,0,0,0,0,0.045", "row 3, column prefill_tokens: an iteration that computes nothing"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_row_and_column(tmp_path: Path, row: str, told: str) -> None:
    path = a_file(tmp_path, ROW, row, *[ROW] * LEAST_RECORDS)
    with pytest.raises(RecordsError) as refused:
        read_records([path])
    assert str(refused.value).startswith(f"{path}, {told}")


@pytest.mark.parametrize("column", HEADER.split(","))
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    header = ",".join(name for name in HEADER.split(",") if name != column)
    with pytest.raises(RecordsError, match=f"row 1, column {column}: the header lacks it"):
        read_records([a_file(tmp_path, ROW, header=header)])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "has no rows below its header"),
        ([ROW] * (LEAST_RECORDS - 1), "499 records are too few; give 500 or more"),
        (["0,8,9000,0,0,0.02"] * LEAST_RECORDS, "0 of 500 iterations compute prompts; give 50 or more"),
        (["9,0,0,0,0,0.02"] * LEAST_RECORDS, "0 of 500 iterations decode; give 50 or more"),
    ],
)
def test_too_few_of_a_kind_are_refused(tmp_path: Path, rows: list[str], told: str) -> None:
    with pytest.raises(RecordsError, match=told):
        read_records([a_file(tmp_path, *rows)])


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="cannot be read"):
        read_records([tmp_path / "absent.csv"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordsError, match="is no CSV text"):
        read_records([tmp_path / "binary"])
    (tmp_path / "short.gz").write_bytes(gzip.compress(HEADER.encode() * 100)[:-12])
    with pytest.raises(RecordsError, match="breaks off"):
        read_records([tmp_path / "short.gz"])


def test_a_fifth_is_held_out_in_runs(tmp_path: Path) -> None:
    held_out = read_records([a_file(tmp_path, *[ROW] * 10_000)]).held_out()
    assert held_out.mean() == pytest.approx(0.2)
    assert np.count_nonzero(np.diff(held_out.astype(int))) == 2 * 20

"""Rows of the bench: their format, what is kept, what has changed, the tables made of them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from bnnbench.bench import markdown, table
from bnnbench.bench.timing import Blocks, alternate
from bnnbench.errors import BnnbenchError

BLOCKS = Blocks({"bare": [1.0, 2.0, 4.0], "ours": [2.0, 3.0, 4.0]}, {"bare": [1.0, 1.0, 1.0], "ours": [2.0, 3.0, 5.0]})
FACTS = {
    "device_name": "A processor",
    "cores": 2,
    "versions": {"torch": "2.0", "numpy": "1.0", "numba": None},
    "git_commit": "0123456789abcdef",
    "date": "2026-01-02T03:04:05+00:00",
}


def rows(part: str = "steps", threads: int = 1) -> list[table.Row]:
    return table.rows_of(BLOCKS, part, "784-10, batch 100", threads, "bare")


def test_a_ratio_is_that_of_blocks_of_the_same_round() -> None:
    found = BLOCKS.ratio("ours", "bare")
    assert (found.ratio, found.low, found.high) == (1.5, 1.25, 1.75)  # of 2, 1.5 and 1
    assert (found.seconds, found.cpu_seconds) == (3, 3)
    itself = BLOCKS.ratio("bare", "bare")
    assert (itself.ratio, itself.low, itself.high) == (1, 0.75, 1.5)


def test_blocks_alternate_and_chains_share_a_step() -> None:
    made: list[tuple[str, int]] = []
    loops = {name: lambda count, name=name: made.append((name, count)) for name in ("b", "a")}
    blocks = alternate(loops, rounds=3, block=8, chains={"a": 4})
    assert list(blocks.seconds) == ["b", "a"]  # in the order given, whatever the order of a round
    assert [sorted(made[i : i + 2]) for i in (0, 2, 4)] == [[("a", 2), ("b", 8)]] * 3
    assert all(len(values) == 3 for values in blocks.seconds.values())


def test_the_csv_has_a_row_per_measurement_and_is_read_back(tmp_path: Path) -> None:
    record = table.Record(tmp_path / "bench.csv", ["steps"])
    record.begin("steps", FACTS)
    for each in rows():
        record.add(each)
    with (tmp_path / "bench.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first)[:9] == ["what", "size", "threads", "ratio", "low", "high", "seconds", "cpu_seconds", "against"]
    assert (first["what"], first["ratio"], second["what"], second["ratio"]) == ("bare", "1", "ours", "1.5")
    assert table.read(tmp_path / "bench.csv") == rows()
    assert table.read_facts(tmp_path / "bench.csv") == {"steps": FACTS}


def test_rows_of_other_parts_and_of_what_was_interrupted_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "bench.csv"
    before = table.Record(path, ["steps", "layers"])
    for part in ("layers", "steps"):
        before.begin(part, FACTS)
        for each in rows(part):
            before.add(each)
    assert [each.part for each in table.read(path)] == ["steps", "steps", "layers", "layers"]
    anew = [replace(rows()[1], ratio=9.0), replace(rows()[1], what="another")]
    record = table.Record(path, ["steps", "layers"])
    record.begin("steps", FACTS)
    record.add(anew[0])  # interrupted here, the rest of the part is still what it was
    assert [each.ratio for each in table.read(path)] == [1, 9, 1, 1.5]
    record.add(anew[1])
    record.end("steps", anew)  # done: what was not measured again is gone
    assert [(each.part, each.what) for each in table.read(path)] == [
        ("steps", "ours"),
        ("steps", "another"),
        ("layers", "bare"),
        ("layers", "ours"),
    ]


def test_rows_of_other_numbers_of_threads_are_kept(tmp_path: Path) -> None:
    record = table.Record(tmp_path / "bench.csv", ["steps"])
    for each in (*rows(threads=1), *rows(threads=2)):
        record.add(each)
    record.end("steps", rows(threads=2)[:1])
    assert [(each.threads, each.what) for each in record.rows.values()] == [(1, "bare"), (1, "ours"), (2, "bare")]


@pytest.mark.parametrize(("ratio", "word"), [(1.2, "faster"), (1.25, ""), (1.75, ""), (1.8, "slower")])
def test_a_median_beyond_both_quartiles_of_the_baseline_is_said(ratio: float, word: str) -> None:
    lines = table.changes([replace(rows()[1], ratio=ratio), replace(rows()[1], what="new")], rows())
    assert [line.partition(":")[0] for line in lines] == ([word] if word else [])
    assert all(
        "steps, ours, 784-10, batch 100, 1 thread: " in line and "was 1.50 (1.25–1.75)" in line for line in lines
    )


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "what,size\nx,y\n", "\xff\xfe"])
def test_a_csv_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bench.csv").write_text(content, "latin-1")
    with pytest.raises(BnnbenchError, match=r"bench\.csv: no table of the bench"):
        table.read(tmp_path / "bench.csv")


def published(tmp_path: Path, name: str = "bench.csv") -> Path:
    record = table.Record(tmp_path / name, ["steps", "evaluation", "memory"])
    more = [
        *rows(threads=1),
        *rows(threads=2),
        replace(rows("evaluation")[1], what="evaluation, SGD", ratio=0.05),
        replace(rows("memory")[1], peak_mb=321.0),
    ]
    for each in more:
        record.begin(each.part, FACTS)
        record.add(each)
    return tmp_path / name


def test_the_tables_are_made_from_the_csv(tmp_path: Path) -> None:
    path = published(tmp_path)
    found, facts = table.read(path), table.read_facts(path)
    short = markdown.summary(found, facts)
    assert "| ours | 1.50 (1.25–1.75) | 1.50 (1.25–1.75) |" in short
    assert "| bare | 2000.00 ms | 2000.00 ms |" in short
    assert "SGD 5.0 %" in short
    assert "A processor, 2 cores, torch 2.0, numpy 1.0; commit 0123456789, 2026-01-02." in short
    assert short.count("A processor") == 1
    full = markdown.full(found, facts)
    assert "### Peak memory" in full and "| 321 MB |" in full


def test_the_blocks_of_readme_and_docs_are_replaced(tmp_path: Path) -> None:
    readme, docs = tmp_path / "README.md", tmp_path / "docs/speed.md"
    docs.parent.mkdir()
    readme.write_text(
        "a\n<!-- bench -->\nold\n<!-- end bench -->\n<!-- bench_cuda -->\nold\n<!-- end bench_cuda -->\nz\n"
    )
    docs.write_text("<!-- bench_full -->\nold\n<!-- end bench_full -->\n")
    assert markdown.update(tmp_path, tmp_path / "none.csv", tmp_path / "none_cuda.csv") == [readme]
    assert "old" in readme.read_text() and markdown.NO_GPU in readme.read_text()  # without rows the tables stay
    path, gpu = published(tmp_path), published(tmp_path, "bench_cuda.csv")
    assert markdown.update(tmp_path, path, gpu) == [readme, docs]
    assert "old" not in readme.read_text() + docs.read_text()
    assert markdown.NO_GPU not in readme.read_text()
    assert markdown.update(tmp_path, path, gpu) == []


def test_the_published_tables_are_those_of_the_published_rows(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for name in ("README.md", "docs/speed.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((root / name).read_text("utf-8"), "utf-8")
    folder = root / "results/published"
    assert markdown.update(tmp_path, folder / "bench.csv", folder / "bench_cuda.csv") == []


@pytest.mark.parametrize(("value", "words"), [(2.0, "2 s"), (0.0041, "4.1 ms"), (3.2e-5, "32 µs"), (-0.5, "-500 ms")])
def test_a_time_has_the_unit_of_its_size(value: float, words: str) -> None:
    assert markdown.seconds(value) == words

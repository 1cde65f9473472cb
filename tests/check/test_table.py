"""The CSV of the check, and which numbers have moved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnnbench.check.report import read
from bnnbench.check.table import Row, moved
from bnnbench.errors import BnnbenchError
from bnnbench.publishing import rows as rows_of

ROW = Row("sgld", "banana", "none", 1.0, 0.1, 0.02, "variance", 1, 1.04, 0.01, 1.05, 1.0, -1.0, 0.04, 0.05, "pass")


def test_rows_survive_the_file(tmp_path) -> None:
    rows = [ROW, Row("mine", "funnel", "none", 0.0, 3.0, 5.0, "mean", verdict="fail", note="diverged, at once")]
    (tmp_path / "check.csv").write_text(rows_of.text(Row, rows), encoding="utf-8")
    assert read(tmp_path / "check.csv") == rows
    assert read(tmp_path / "nothing.csv") == []


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "sampler\nsgld\n"])
def test_another_table_is_refused(tmp_path, content) -> None:
    (tmp_path / "check.csv").write_text(content, encoding="utf-8")
    with pytest.raises(BnnbenchError, match="no table of `bnnbench check`"):
        read(tmp_path / "check.csv")


def test_a_number_has_moved_by_standard_errors_of_the_difference() -> None:
    assert moved([replace(ROW, estimate=1.04 + 4.4 * 0.01 * 2**0.5)], [ROW]) == []
    (line,) = moved([replace(ROW, estimate=1.04 + 4.6 * 0.01 * 2**0.5)], [ROW])
    assert "banana" in line and "was 1.04: 4.6 standard errors" in line
    assert moved([ROW], []) == []


def test_another_axis_is_compared_by_its_distance_from_the_law() -> None:
    assert moved([replace(ROW, direction=2, estimate=1.34, law=1.35)], [ROW]) == []
    assert moved([replace(ROW, direction=2, estimate=1.34, law=1.05)], [ROW])


def test_another_verdict_has_moved() -> None:
    (line,) = moved([replace(ROW, verdict="unresolved")], [ROW])
    assert line.endswith("unresolved, was pass")

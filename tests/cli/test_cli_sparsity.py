"""`bnnbench sparsity` and `bnnbench export`: files, tables, exit codes, and one line for every mistake."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import left_behind
from support.configurations import QUICK
from support.records import manifest_of

FIGURE = ["sparsity_curve.csv", "sparsity_curve.png", "sparsity_curve.pdf", "sparsity_curve.svg"]


@pytest.fixture
def sparse(finished, here) -> Path:
    """The folder of a Sparse VD run whose warm-up is over at once."""
    words = ("method=sparse_vd", "method.kl.zero_until=0", "method.kl.full_from=0", "method.layers.threshold=-5")
    return finished(*QUICK, *words)


def assert_refused(result, message: str) -> None:
    assert result.exit_code == 1, result.stdout
    assert len(result.stderr.splitlines()) <= 2, result.stderr
    assert re.search(f"^error: .*{message}", result.stderr), result.stderr


def test_the_curve_comes_as_table_csv_and_figure(sparse, bnnbench):
    done = bnnbench("sparsity", str(sparse))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split()[-4:] == [str(sparse / name) for name in FIGURE]
    assert all((sparse / name).stat().st_size > 0 for name in FIGURE)
    with (sparse / "sparsity_curve.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["threshold"]) for row in rows] == [step / 2 for step in range(-16, 17)]
    (own,) = (row for row in rows if row["own"] == "1")
    recorded = manifest_of(sparse)["final"]["test/current/0"]
    assert (float(own["threshold"]), float(own["dropped"])) == (-5.0, recorded["sparsity"])
    assert (float(own["error"]), float(own["nll"])) == (recorded["error"], recorded["nll"])
    assert float(rows[-1]["dropped"]) == 0  # Sparse VD holds log α at 8
    line = next(line for line in done.stdout.splitlines() if "* -5" in line)
    assert f"{100 * recorded['sparsity']:.2f}" in line and f"{100 * recorded['error']:.2f}" in line


def test_thresholds_formats_and_folder_can_be_chosen(sparse, bnnbench, here):
    before = left_behind(sparse)
    done = bnnbench("sparsity", str(sparse), "--thresholds", "-2,3", "--out", "new/o", "--formats", "svg")
    assert done.exit_code == 0, done.stderr
    assert left_behind(here / "new" / "o") == ["sparsity_curve.csv", "sparsity_curve.svg"]
    assert left_behind(sparse) == before
    with (here / "new" / "o" / "sparsity_curve.csv").open() as stream:
        assert [row["threshold"] for row in csv.DictReader(stream)] == ["-5.0", "-2.0", "3.0"]


def test_export_writes_both_files_and_says_that_they_predict_the_same(sparse, bnnbench, here):
    done = bnnbench("export", str(sparse), "--sparse", "--out", "o")
    assert done.exit_code == 0, done.stderr
    assert left_behind(here / "o") == ["network.json", "network.pt", "network_csr.pt"]
    assert "predictions equal the run's to the bit" in done.stdout
    assert done.stdout.split()[-3:] == ["o/network.pt", "o/network.json", "o/network_csr.pt"]
    dense = bnnbench("export", str(sparse))
    assert dense.exit_code == 0, dense.stderr
    assert dense.stdout.split()[-2:] == [str(sparse / name) for name in ("network.pt", "network.json")]
    assert not (sparse / "network_csr.pt").exists()
    assert (sparse / "network.pt").read_bytes() == (here / "o" / "network.pt").read_bytes()


def test_a_reloaded_network_that_differs_ends_with_an_error(sparse, bnnbench, monkeypatch):
    from bnnbench.deploy import export

    def other(path, allow_code=(), **options):
        network = original(path, allow_code, **options)
        network.out.bias.data += 1
        return network

    original = export.load_network
    monkeypatch.setattr(export, "load_network", other)
    done = bnnbench("export", str(sparse))
    assert done.exit_code == 1
    assert "NOT the run's" in done.stdout
    assert "does not predict as the run does: network.pt by up to" in done.stderr


@pytest.mark.parametrize("verb", ["sparsity", "export"])
def test_what_is_no_trained_run_is_said_in_a_line(verb, sparse, bnnbench, here):
    assert_refused(bnnbench(verb, "nowhere"), "nowhere: no such file or folder")
    (here / "empty").mkdir()
    assert_refused(bnnbench(verb, "empty"), "No runs in empty")
    assert_refused(bnnbench(verb, str(sparse), "--chain", "1"), "chain 1: this run has 1 of them. Take 0 to 0")
    assert_refused(bnnbench(verb, str(sparse), "--device", "tpu"), "device=tpu: not available here")
    (sparse / "checkpoint.pt").write_bytes(b"PK nonsense")
    assert_refused(bnnbench(verb, str(sparse)), "checkpoint.pt is damaged and cannot be read")
    (sparse / "checkpoint.pt").unlink()
    assert_refused(bnnbench(verb, str(sparse)), "the run is finished, but its checkpoint.pt is missing.*force=true")
    (here / "file").write_text("")
    assert_refused(bnnbench(verb, "file"), "file is a file, but not one of a run. Give a run's folder")


@pytest.mark.parametrize(
    ("verb", "name"), [("sparsity", "checkpoint.pt"), ("export", "config.yaml"), ("export", "metrics.csv")]
)
def test_a_file_in_a_run_s_folder_stands_for_the_run(verb, name, sparse, bnnbench, here):
    done = bnnbench(verb, str(sparse / name), "--out", "o")
    assert done.exit_code == 0, done.stderr


def test_what_force_makes_again_can_be_exported(sparse, bnnbench):
    (sparse / "checkpoint.pt").unlink()
    words = ("method=sparse_vd", "method.kl.zero_until=0", "method.kl.full_from=0", "method.layers.threshold=-5")
    assert bnnbench("run", *QUICK, *words, "force=true").exit_code == 0
    assert bnnbench("export", str(sparse)).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sparsity", "--thresholds", "low"), "--thresholds low: give numbers"),
        (("sparsity", "--thresholds", "0:1:0"), "--thresholds 0:1:0: give numbers"),
        (("sparsity", "--formats", "pgn"), "formats: no 'pgn'. Did you mean 'png'"),
        (("export", "--threshold", "3"), "--threshold: without --sparse the layers' own applies"),
        (("export", "--sparse", "--threshold", "inf"), "--threshold inf: give a number"),
    ],
)
def test_settings_that_are_wrong_leave_nothing(words, message, sparse, bnnbench):
    before = left_behind(sparse)
    assert_refused(bnnbench(words[0], str(sparse), *words[1:]), message)
    assert left_behind(sparse) == before


def test_a_threshold_without_an_alpha_is_refused(finished, bnnbench, here):
    folder = finished(*QUICK, "method=dropout")
    assert_refused(bnnbench("sparsity", str(folder)), "No layer has an α, so there is no threshold")
    assert_refused(bnnbench("export", str(folder), "--sparse"), "No layer has an α.*Leave out --sparse")
    assert bnnbench("export", str(folder)).exit_code == 0


def test_a_folder_that_cannot_be_written_is_said(sparse, bnnbench, here):
    (here / "taken").write_text("")
    for verb in ("sparsity", "export"):
        for out in ("taken", "taken/below"):
            done = bnnbench(verb, str(sparse), "--out", out)
            assert_refused(done, f"--out {out}: .*taken is a file, not a folder")
            assert done.stdout == ""  # before anything was computed


@pytest.mark.parametrize("verb", ["sparsity", "export"])
def test_help_loads_nothing_heavy(verb):
    code = (
        "import sys\nfrom bnnbench.cli.app import app\n"
        f"try: app([{verb!r}, '--help'], prog_name='bnnbench')\nexcept SystemExit as left: print('rc', left.code)\n"
        "print('heavy:', *[m for m in ('torch', 'matplotlib', 'numpy', 'pandas', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["rc 0", "heavy:"]

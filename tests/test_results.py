import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.records import change_manifest

from bnnbench.errors import BnnbenchError
from bnnbench.store import frame as results

HEADER = ",".join(results.COLUMNS)
CONFIG = """\
seed: {seed}
epochs: 20
dataset: {{name: mnist, label: MNIST}}
model: {{name: mlp, label: MLP, widths: [400, 400]}}
method: {{label: pSGLD, optimizer: {{name: psgld, lr: {lr}}}, norm: none}}
"""


def line(iteration, error, chain="0", split="test"):
    cells = {"iteration": iteration, "chain": chain, "split": split, "predictor": "posterior", "error": error}
    return ",".join(str(cells.get(column, "")) for column in results.COLUMNS)


def write_run(folder, lines=(), *, seed=0, lr="5e-4", status="finished", end="\n"):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(seed=seed, lr=lr))
    manifest = {"status": status, "method": "psgld", "temperature": 1.0, "num_data": 50_000}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "metrics.csv").write_text("\n".join([HEADER, *lines]) + end)
    return folder


def test_find_runs_takes_a_run_a_parent_or_a_csv_and_counts_each_once(tmp_path):
    b = write_run(tmp_path / "results" / "adhoc" / "b")
    a = write_run(tmp_path / "results" / "adhoc" / "a")
    assert results.find_runs([tmp_path]) == [a, b]
    assert results.find_runs(str(b)) == [b]
    assert results.find_runs([b / "metrics.csv", tmp_path, a]) == [b, a]


def test_find_runs_passes_over_foreign_folders(tmp_path):
    a = write_run(tmp_path / "a")
    write_run(tmp_path / ".hydra" / "hidden")
    other = tmp_path / "other"  # another program's log, with files of the same names
    other.mkdir()
    (other / "config.yaml").write_text("dataset: x\nmodel: y\nmethod: z\n")
    (other / "metrics.csv").write_text("epoch,step,loss\n1,2,3\n")
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "config.yaml").write_bytes(b"\xff\xfe\x00")
    assert results.find_runs(tmp_path) == [a]


def test_find_runs_says_what_is_wrong_and_how_to_make_a_run(tmp_path):
    with pytest.raises(BnnbenchError, match="nowhere: no such file or folder"):
        results.find_runs([tmp_path / "nowhere"])
    with pytest.raises(BnnbenchError, match=r"(?s)No runs in .*empty.*bnnbench run"):
        (tmp_path / "empty").mkdir()
        results.find_runs([tmp_path / "empty"])
    stray = tmp_path / "metrics.csv"
    stray.write_text(HEADER + "\n")
    with pytest.raises(BnnbenchError, match=r"not a run's metrics\.csv"):
        results.find_runs([stray])


def test_load_run_reads_full_precision_and_words(tmp_path):
    number = 0.1234567890123456789
    run = results.load_run(write_run(tmp_path / "a", [line(300, number), line(300, 0.2, "all", "NA")]))
    assert run.metrics["error"].tolist() == [number, 0.2]
    assert run.metrics["chain"].tolist() == ["0", "all"]
    assert run.metrics["split"].tolist() == ["test", "NA"]  # a set of that name is not a missing cell
    assert run.metrics["nll"].isna().all()
    assert run.config["method"]["optimizer"]["lr"] == 5e-4  # a number, which PyYAML alone would read as a word
    assert (run.status, run.seed, run.name("method"), run.label("method")) == ("finished", 0, "psgld", "pSGLD")


@pytest.mark.parametrize(("status", "kept"), [("running", [0.5]), ("failed", [0.5]), ("finished", [0.5, 0.12])])
def test_a_line_without_its_end_counts_only_in_a_finished_run(tmp_path, status, kept):
    run = results.load_run(write_run(tmp_path / "a", [line(300, 0.5), line(600, 0.12)], status=status, end=""))
    assert run.metrics["error"].tolist() == kept


@pytest.mark.parametrize("status", ["running", "interrupted", "failed", "finished"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_half_a_last_line_never_counts(tmp_path, status, end):
    half = line(600, 0.1234).split("0.1234")[0] + "0.12"  # cut inside a number, which still reads as one
    run = results.load_run(write_run(tmp_path / "a", [line(300, 0.5), half], status=status, end=end))
    assert run.metrics["error"].tolist() == [0.5]


def test_every_length_of_a_growing_file_reads_as_its_whole_lines(tmp_path):
    folder = write_run(tmp_path / "a", [line(300, 0.25), line(600, 0.125, "all")], status="running")
    table = folder / "metrics.csv"
    whole = table.read_bytes()
    for length in range(len(HEADER), len(whole) + 1):
        table.write_bytes(whole[:length])
        complete = whole[:length].count(b"\n") - 1
        assert results.load_run(folder).metrics["error"].tolist() == [0.25, 0.125][: max(complete, 0)]


def test_half_a_line_in_the_middle_is_damage(tmp_path):
    run = write_run(tmp_path / "a", [line(300, 0.5), "600,3", line(900, 0.5)])
    with pytest.raises(BnnbenchError, match=r"metrics\.csv: not a metrics\.csv of bnnbench: row 2 has 2 cells, not 21"):
        results.load_run(run)


def test_a_run_without_rows_loads_empty(tmp_path):
    before = write_run(tmp_path / "before", status="failed")
    (before / "metrics.csv").unlink()
    inside = write_run(tmp_path / "inside", status="failed")
    (inside / "metrics.csv").write_text("iterat")  # killed while the header was written
    for folder in (before, inside):
        run = results.load_run(folder)
        assert list(run.metrics.columns) == list(results.COLUMNS)
        assert run.metrics.empty
    assert results.load(tmp_path).empty


def test_a_half_written_manifest_costs_only_the_status(tmp_path):
    folder = write_run(tmp_path / "a", [line(300, 0.5)])
    (folder / "manifest.json").write_text('{"status": "fin')
    frame = results.load(folder)
    assert frame["status"].tolist() == ["unknown"]
    assert frame["method"].tolist() == ["psgld"]


def test_load_joins_names_and_the_keys_that_differ(tmp_path):
    write_run(tmp_path / "a", [line(300, 0.5), line(600, 0.4)], seed=0, lr="1e-3")
    write_run(tmp_path / "b", [line(300, 0.3)], seed=1, status="failed")
    frame = results.load(tmp_path)
    assert frame["run"].tolist() == ["a", "a", "b"]
    assert frame["method.optimizer.lr"].tolist() == [1e-3, 1e-3, 5e-4]
    assert frame["seed"].tolist() == [0, 0, 1]
    assert frame["status"].tolist() == ["finished", "finished", "failed"]
    assert set(frame["dataset"]) == {"mnist"} and set(frame["model"]) == {"mlp"} and set(frame["method"]) == {"psgld"}
    about = ["run", "status", "dataset", "model", "method", "method.optimizer.lr", "seed"]
    assert frame.columns.tolist() == [*about, *results.COLUMNS]
    assert frame["error"].dtype == float


def test_load_warns_about_a_damaged_run_and_goes_on(tmp_path):
    write_run(tmp_path / "a", [line(300, 0.5)])
    write_run(tmp_path / "b", [line(300, "0.x5")])
    with pytest.warns(UserWarning, match=r"left out: .*b.metrics\.csv"):
        assert results.load(tmp_path)["run"].tolist() == ["a"]
    with pytest.raises(BnnbenchError, match=r"not a metrics\.csv"):
        results.load(tmp_path / "b")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("dataset: 2024-99-99\nmodel: b\nmethod: c\n", "not valid YAML"),
        ("dataset: [\nmodel: b\nmethod: c\n", "not valid YAML"),
        ("- &x\n  a: |\ndataset:\nmodel:\nmethod:\n", "not valid YAML"),
        ("|\n  text\n", "not a run's folder"),
        ("--- |\ndataset:\nmodel:\nmethod:\n", "not the configuration of a run|not valid YAML"),
    ],
)
def test_whatever_a_config_holds_the_other_runs_are_read(tmp_path, config, words):
    write_run(tmp_path / "a", [line(300, 0.5)])
    (write_run(tmp_path / "b", [line(300, 0.4)]) / "config.yaml").write_text(config)
    runs, damage = results.read_runs(tmp_path)
    assert [run.folder.name for run in runs] == ["a"]
    assert len(damage) == (words != "not a run's folder") and all("\n" not in reason for reason in damage)
    with pytest.raises(BnnbenchError, match=words):
        results.load_run(tmp_path / "b")


def test_one_number_typed_in_two_ways_is_no_difference(tmp_path):
    write_run(tmp_path / "a", [line(300, 0.5)], lr="1")
    write_run(tmp_path / "b", [line(300, 0.5)], lr="1.0", seed=1)
    assert "method.optimizer.lr" not in results.load(tmp_path)


def test_reading_and_drawing_never_import_torch():
    code = "import sys, bnnbench.results, bnnbench.analysis.plots; print({'torch', 'matplotlib'} & set(sys.modules))"
    root = Path(results.__file__).parents[1]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert answer.stdout.strip() == "set()"


def test_a_finished_run_whose_numbers_are_cut_short_is_damaged(tmp_path):
    whole, cut = (write_run(tmp_path / name, [line(50, 0.2), line(100, 0.1)]) for name in "ab")
    (cut / "metrics.csv").write_text("\n".join([HEADER, line(50, 0.2)]) + "\n")
    for folder in (whole, cut):
        change_manifest(folder, iterations=100)
    runs, damage = results.read_runs([tmp_path])
    assert [run.folder for run in runs] == [whole]
    assert damage == [f"{cut / 'metrics.csv'}: ends at iteration 50, but the run went to 100: a part of it is lost."]

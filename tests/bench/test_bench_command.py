"""`python -m bnnbench.bench` and `python -m bnnbench.bench.profile`: what they write, refuse and survive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bnnbench.bench import __main__ as command
from bnnbench.bench import chains, commands, company, growth, layers, profile, setting, steps, table
from bnnbench.errors import BnnbenchError
from bnnbench.experiment.cores import usable_cores

ROOT = Path(__file__).parents[2]
ROW = table.Row("ours", "small", 1, 1.5, 1.0, 2.0, 1.0, 1.0, "bare", "steps")


@pytest.fixture(autouse=True)
def on_the_digits(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MNIST and its noise take seconds to read; torch's threads are the process's."""
    monkeypatch.setitem(command.DATA, "noise", ("dataset=digits",))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "step"], "Did you mean 'steps'"),
        (["--device", "cpu", "--quick", "--only", "start"], "no such part with --device"),
        (["--rounds", "1"], "--rounds 1: quartiles need at least 2."),
        (["--threads", "4096"], "no more."),
        (["--threads", "0"], "'0' is no number of threads"),
        (["--threads", "1,x"], "'x' is no number of threads"),
        (["--data", "mnist"], "Or time noise of its shape: --data noise."),
        (["--device", "cpu"], "with --quick"),
        (["--device", "tpu"], "device=tpu: not available here"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setenv("BNNBENCH_DATA", str(here))
    assert command.main([*([] if "mnist" in words else ["--data", "noise"]), *words]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and said in lines[0]
    assert not (here / "results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_that_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--device", "cuda"]) == 1
    assert capsys.readouterr().err == "error: --device cuda: no GPU here, so nothing was measured.\n"


def test_a_quick_run_of_a_part_writes_rows_and_where_they_come_from(here: Path) -> None:
    assert command.main(["--quick", "--data", "noise", "--only", "noise", "--only", "careful", "--threads", "1"]) == 0
    found = table.read(Path("results/quick/bench.csv"))
    assert list(dict.fromkeys(each.part for each in found)) == ["careful", "noise"]
    assert all(each.ratio > 0 and each.seconds > 0 and each.threads == 1 for each in found)
    facts = table.read_facts(Path("results/quick/bench.csv"))["noise"]
    assert facts["cores"] == usable_cores() and facts["versions"]["torch"] and facts["date"]
    assert not Path("results/published").exists()


def test_the_run_on_a_device_is_tried_out_on_a_cpu(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "METHODS", steps.METHODS[2:4])
    monkeypatch.setattr(layers, "LAYERS", layers.LAYERS[:1])
    assert command.main(["--device", "cpu", "--quick", "--data", "noise", "--threads", "1"]) == 0
    found = table.read(Path("results/quick/bench_cpu.csv"))
    assert list(dict.fromkeys(each.part for each in found)) == ["steps", "layers", "chains", "noise"]
    assert {each.what for each in found if each.part == "chains"} == {
        steps.BARE,
        *(f"{name}, {count}, each" for name in chains.METHODS for count in ("1 chain", "2 chains")),
    }


def run_with(monkeypatch: pytest.MonkeyPatch, *parts: str, **measures: object) -> int:
    for name, found in measures.items():
        monkeypatch.setitem(command.PARTS, name, found)
    return command.main(["--data", "noise", "--threads", "1", *(word for name in parts for word in ("--only", name))])


def broken(_: setting.Setting) -> Iterator[table.Row]:
    yield ROW
    raise BnnbenchError("no luck")


def test_a_part_that_breaks_leaves_its_rows_and_the_other_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = table.Row("ours", "small", 1, 1.0, 1.0, 1.0, 1.0, 1.0, "bare", "layers")
    assert run_with(monkeypatch, "steps", "layers", steps=broken, layers=lambda _: iter([other])) == 1
    assert table.read(Path("results/published/bench.csv")) == [ROW, other]
    assert "no luck" in capsys.readouterr().err


def test_an_interrupted_run_leaves_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: setting.Setting) -> Iterator[table.Row]:
        yield ROW
        raise KeyboardInterrupt

    assert run_with(monkeypatch, "steps", steps=interrupted) == 130
    assert table.read(Path("results/published/bench.csv")) == [ROW]


def test_a_missed_target_and_a_change_are_said_and_change_no_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = table.Row("SGD", "small", 1, 9.0, 8.0, 10.0, 1.0, 1.0, "bare", "steps")
    Path("results/published").mkdir(parents=True)
    before = table.Row("SGD", "small", 1, 1.0, 0.9, 1.1, 1.0, 1.0, "bare", "steps")
    Path("results/published/bench_baseline.csv").write_text(table.text([before]))
    assert run_with(monkeypatch, "steps", steps=lambda _: iter([slow])) == 0
    out = capsys.readouterr().out
    assert f"above its target, {steps.TARGETS['SGD']:g}" in out
    assert "slower: steps, SGD, small, 1 thread: 9.00, was 1.00 (0.90–1.10)" in out


def test_what_there_is_no_time_for_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "LIMIT", 0)
    monkeypatch.setitem(command.PARTS, "steps", broken)
    assert command.main(["--device", "cpu", "--quick", "--data", "noise", "--threads", "1"]) == 0
    assert "out of time, left out: steps, layers, chains, noise" in capsys.readouterr().out


def test_a_process_is_measured_without_the_memory_of_this_one() -> None:
    ours = commands.spend(["-S", "-c", "x = bytearray(50_000_000)"])
    assert 50 < ours.peak_mb < 150  # this process, with torch, is larger
    assert ours.seconds > 0 and ours.cpu_seconds > 0
    with pytest.raises(BnnbenchError, match="exit 1: ValueError: no"):
        commands.spend(["-S", "-c", "raise ValueError('no')"])


def test_a_tiny_network_is_measured_on_the_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    small = setting.Setting(("dataset=digits",), torch.device("cpu"), (1,), 2, True, "growth")
    sizes = {each.size for each in growth.at(small, setting.training_data(small), *growth.TINY)}
    assert sizes == {"64-100-10, batch 32"}


@pytest.mark.parametrize(
    "words",
    [("method=sgld",), ("method=psgld", "method.optimizer.gamma=hutchinson", "method.optimizer.v_adapt=always")],
    ids=["SGLD", "Γ"],
)
def test_a_profile_has_the_stages_and_the_operations(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile.main([*words, "model.widths=[8]", "threads=1", "--steps", "3"]) == 0
    out = capsys.readouterr().out
    first = [line.split()[0] for line in out.splitlines() if line]
    assert [word for word in first if word in profile.STAGES] == list(profile.STAGES)
    assert "aten::addmm" in out


def test_a_wrong_setting_of_a_profile_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile.main(["method=sgdl"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["bench"], "python -m bnnbench.bench"),
        (["bench", "DEVICE=cuda"], "python -m bnnbench.bench --device cuda"),
        (["bench", "ONLY=steps start"], "python -m bnnbench.bench  --only steps --only start"),
        (["bench-accept"], "cp results/published/bench.csv results/published/bench_baseline.csv"),
        (["profile", "METHOD=sgld", "WITH=threads=1"], "python -m bnnbench.bench.profile method=sgld threads=1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_make_calls_the_commands(words: list[str], called: str) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}  # not those of `make test`
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1].rstrip().endswith(called)


def test_a_run_in_company_says_what_a_step_took(capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_num_threads()
    try:
        company.main(["1", "0.05", "dataset=digits"])
    finally:
        torch.set_num_threads(before)
    seconds, cpu_seconds = json.loads(capsys.readouterr().out)
    assert 0 < seconds < 0.5 and 0 < cpu_seconds < 2 * seconds


def test_runs_in_company_begin_together_and_their_failure_is_told() -> None:
    some = setting.Setting(("dataset=nowhere",), torch.device("cpu"), (1,), 2, quick=True)
    with pytest.raises(BnnbenchError, match=r"company: exit 1: .*nowhere"):
        company._together(some, 2, 1, {})

"""A run that is told to stop keeps what it has done, at whatever iteration, and goes on to the same numbers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.records import manifest_of, numbers

from bnnbench.experiment.divergence import DivergenceGuard
from bnnbench.experiment.stopping import heard

Run = Callable[..., Path]


def at_step(number: int, act: Callable[[], object], patch: pytest.MonkeyPatch) -> list[int]:
    """Let `act` be called in the step of that `number`; return a list that grows by one in each step."""
    steps: list[int] = []
    add = DivergenceGuard.add

    def counted(guard: DivergenceGuard, *loss: object) -> bool:
        steps.append(1)
        if len(steps) == number:
            act()
        return add(guard, *loss)  # type: ignore[arg-type]

    patch.setattr(DivergenceGuard, "add", counted)
    return steps


@pytest.mark.parametrize("method", ["psgld", "sparse_vd", "batchnorm_sgld", "adam"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_between_evaluations_loses_nothing(
    method: str, number: signal.Signals, run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (f"method={method}", "chains=2", "members.thin=10")
    untouched = numbers(run_small(*words, "name=untouched"))
    with monkeypatch.context() as patch:
        steps = at_step(73, lambda: os.kill(os.getpid(), number), patch)  # after one evaluation and 23 more steps
        with pytest.raises(KeyboardInterrupt):
            run_small(*words, "name=stopped")
        (folder,) = (tmp_path / "results" / "stopped").iterdir()
        assert manifest_of(folder)["status"] == "interrupted"
        assert run_small(*words, "name=stopped") == folder
    assert len(steps) == 140  # none twice
    assert numbers(folder) == untouched


def test_checkpoints_are_written_between_evaluations(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("method=sgd", "eval.every=1000", "checkpoint_every=0")
    untouched = numbers(run_small(*words, "name=untouched"))

    def die() -> None:
        raise RuntimeError("a kill")

    with monkeypatch.context() as patch:
        steps = at_step(110, die, patch)
        with pytest.raises(RuntimeError, match="a kill"):
            run_small(*words, "name=killed")
        assert numbers(run_small(*words, "name=killed")) == untouched
    assert len(steps) == 110 + 40  # resumed at 100


def test_the_second_signal_stops_at_once_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), heard() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("still running")
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with heard() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_earlier_handler_hears_it_too() -> None:
    calls = []

    def ask(*_: object) -> None:
        calls.append(1)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, ask)
    try:
        with heard() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.asked and calls == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_stop_in_the_last_step_ends_a_sweep_and_not_the_run(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = at_step(140, lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_small("method=sgd", "name=stopped")
    assert len(steps) == 140
    (folder,) = (tmp_path / "results" / "stopped").iterdir()
    assert manifest_of(folder)["status"] == "finished"

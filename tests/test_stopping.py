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


@pytest.mark.parametrize("method", ["psgld", "sparse_vd", "batchnorm_sgld", "adam"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_between_evaluations_loses_nothing(
    method: str, number: signal.Signals, run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (f"method={method}", "chains=2", "members.thin=10")
    untouched = numbers(run_small(*words, "name=untouched"))
    steps, add = 0, DivergenceGuard.add

    def counted(guard: DivergenceGuard, *loss: object) -> bool:
        nonlocal steps
        steps += 1
        if steps == 73:  # after one evaluation and 23 more steps
            os.kill(os.getpid(), number)
        return add(guard, *loss)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(DivergenceGuard, "add", counted)
        with pytest.raises(KeyboardInterrupt):
            run_small(*words, "name=stopped")
        (folder,) = (tmp_path / "results" / "stopped").iterdir()
        assert manifest_of(folder)["status"] == "interrupted"
        assert run_small(*words, "name=stopped") == folder
    assert steps == 140  # none twice
    assert numbers(folder) == untouched


def test_checkpoints_are_written_between_evaluations(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps, add = 0, DivergenceGuard.add

    def killed(guard: DivergenceGuard, *loss: object) -> bool:
        nonlocal steps
        steps += 1
        if steps == 110:
            raise RuntimeError("a kill")
        return add(guard, *loss)  # type: ignore[arg-type]

    words = ("method=sgd", "eval.every=1000", "checkpoint_every=0")
    untouched = numbers(run_small(*words, "name=untouched"))
    with monkeypatch.context() as patch:
        patch.setattr(DivergenceGuard, "add", killed)
        with pytest.raises(RuntimeError, match="a kill"):
            run_small(*words, "name=killed")
        assert numbers(run_small(*words, "name=killed")) == untouched
    assert steps == 110 + 40  # resumed at 100


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
    steps, add = 0, DivergenceGuard.add

    def counted(guard: DivergenceGuard, *loss: object) -> bool:
        nonlocal steps
        steps += 1
        if steps == 140:
            os.kill(os.getpid(), signal.SIGINT)
        return add(guard, *loss)  # type: ignore[arg-type]

    monkeypatch.setattr(DivergenceGuard, "add", counted)
    with pytest.raises(KeyboardInterrupt):
        run_small("method=sgd", "name=stopped")
    assert steps == 140
    (folder,) = (tmp_path / "results" / "stopped").iterdir()
    assert manifest_of(folder)["status"] == "finished"

"""One run's failure is its own: said, kept, counted, and no other run suffers."""

from __future__ import annotations

import pytest
import yaml
from support.fates import OURS, QUICK
from support.records import manifest_of

pytestmark = pytest.mark.usefixtures("forked_workers")

REASONS = {  # fate → how the reason begins
    "bug": "training raised RuntimeError: a bug",
    "diverges": "the loss became nan at iteration 6;",
    "early": "its process ended with exit code 3",  # before its run had a folder
    "exits": "training raised SystemExit: enough",
    "full": "{folder}: File too large. What was recorded stays; run again.",
    "killed": "its process was killed (SIGKILL): out of memory?",
    "told": "its process was told to stop from outside (SIGTERM)",
}


@pytest.mark.parametrize(
    "fates",
    [["bug", "diverges", "killed", "full"], pytest.param([*REASONS], marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_planted_failures_in_a_sweep_of_twelve_cost_their_own_runs_only(fates, sweep, planned, here, manifests):
    wells = 12 - len(fates)
    words = (*OURS, f"model.fate={','.join([*fates, *(f'well{i}' for i in range(wells))])}")
    swept = sweep(*words, "-j2")
    assert swept.exit_code == 1
    assert swept.stderr.splitlines()[-1].startswith(f"error: {len(fates)} of 12 runs failed")
    assert [m["status"] for m in manifests()].count("finished") == wells

    folders = {
        yaml.safe_load(path.read_text())["model"]["fate"]: path.parent for path in here.glob("results/*/*/config.yaml")
    }
    table = " ".join(swept.stdout[swept.stdout.index("sweep") :].replace("│", " ").split())  # without its line breaks
    for fate in fates:
        reason = REASONS[fate].format(folder=folders[fate].relative_to(here))
        assert f"(model.fate={fate}): {reason}" in swept.stderr  # at once
        assert f"(model.fate={fate}): {reason}" in table  # and at the end
        kept = folders[fate] / "error.txt"
        if fate == "full":  # not even this file could be written, and what was begun is gone
            assert not kept.exists()
            assert not list(folders[fate].glob("*.partial"))
        else:
            assert kept.read_text().startswith(reason)
            assert manifest_of(folders[fate])["error"].startswith(reason)
            assert ("Traceback" in kept.read_text()) == (fate in ("bug", "exits"))
            assert ("last words" in kept.read_text()) == (fate == "killed")
    assert all(path.read_text().endswith("\n") for path in here.glob("results/*/*/metrics.csv"))

    again, said = planned(*words)  # what failed is tried again, what is finished is not
    assert f"12 runs, {wells} finished before" in said
    assert [job.raw["model"]["fate"] for job in again] == fates


def test_a_divergence_is_its_own(sweep, here, manifests):
    swept = sweep(*QUICK, "method.optimizer.lr=0.1,1e30", "-j1")
    assert swept.exit_code == 1
    assert "1 of 2 runs failed" in swept.stderr
    (kept,) = here.glob("results/*/*/error.txt")
    assert "iteration" in kept.read_text()
    assert sorted(m["status"] for m in manifests()) == ["failed", "finished"]
    assert "Traceback" not in swept.stderr


LOADER = '''
"""A set whose reader ends its process, by itself or by a signal, in a way that no `except` sees."""
import os
import signal

import numpy as np

TASK, CLASSES = "classification", 2


def load(root, part, fate: str = "well"):
    if fate == "exits":
        os._exit(7)
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return np.random.default_rng(0).normal(size=(100, 3)), np.arange(100) % 2
'''


def test_a_loader_that_ends_its_process_costs_its_own_run_only(sweep, here, manifests, user_package):
    user_package("sets", deadly=LOADER)
    fates = "dataset.name=sets.deadly", "+dataset.fate=exits,well,killed", "dataset.divide=1", "batch_size=20"
    swept = sweep(*QUICK, *fates, "-j2")
    assert swept.exit_code == 1
    assert "2 of 3 runs failed" in swept.stderr
    assert "its process ended with exit code 7" in swept.stderr
    assert "its process was killed (SIGKILL)" in swept.stderr
    assert [m["status"] for m in manifests()].count("finished") == 1


def test_settings_that_do_not_fit_a_users_data_stop_a_sweep_before_it_starts(sweep, here, user_package):
    user_package("sets", deadly=LOADER)
    swept = sweep(*QUICK, "dataset.name=sets.deadly", "dataset.divide=1", "batch_size=20,101", "seed=0,1")
    assert swept.exit_code == 1
    assert "batch_size=101 is more than the 100 training data" in swept.stderr
    assert "2 of 4 runs cannot start, so none was started." in swept.stderr
    assert not list(here.glob("results/*/*"))

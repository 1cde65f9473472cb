"""One run's failure is its own: said, kept, counted, and no other run suffers."""

from __future__ import annotations

import pytest
from fates import OURS, QUICK

pytestmark = pytest.mark.usefixtures("forked_workers")

REASONS = {
    "bug": "RuntimeError: a bug",
    "early": "its process ended with exit code 3",  # before its run had a folder
    "exits": "SystemExit: enough",
    "killed": "its process was killed (SIGKILL): out of memory?",
    "told": "its process was told to stop from outside (SIGTERM)",
}


@pytest.mark.parametrize(
    ("fates", "wells"),
    [
        (["bug", "early", "killed"], 2),  # the other two lose their processes too, and each costs a new one
        pytest.param([*REASONS], 7, marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_planted_failures_cost_their_own_runs_only(fates, wells, sweep, planned, here, manifests):
    reasons = {fate: REASONS[fate] for fate in fates}
    words = (*OURS, f"model.fate={','.join([*fates, *(f'well{i}' for i in range(wells))])}")
    swept = sweep(*words, "-j2")
    assert swept.exit_code == 1
    assert swept.stderr.splitlines()[-1].startswith(f"error: {len(fates)} of {len(fates) + wells} runs failed")
    assert [m["status"] for m in manifests()].count("finished") == wells

    kept = sorted(path.read_text() for path in here.glob("results/*/*/error.txt"))
    assert [text.splitlines()[0] for text in kept] == sorted(reasons.values())
    assert [m["error"] for m in manifests() if m["status"] == "failed"].count(REASONS["early"]) == 1
    assert sum("last words" in text for text in kept) == 1  # of the one that was killed
    assert sum("Traceback" in text for text in kept) == len({"bug", "exits"} & reasons.keys())
    table = swept.stdout[swept.stdout.index("sweep") :]
    for fate, reason in reasons.items():
        assert f"(model.fate={fate}): {reason}" in swept.stderr  # at once
        assert f"(model.fate={fate}): {reason}" in table  # and at the end

    again, said = planned(*words)  # what failed is tried again, what is finished is not
    assert f"{len(fates) + wells} runs, {wells} finished before" in said
    assert [job.raw["model"]["fate"] for job in again] == fates


def test_a_divergence_is_its_own(sweep, here, manifests):
    swept = sweep(*QUICK, "method.update.lr=0.1,1e30", "-j1")
    assert swept.exit_code == 1
    assert "1 of 2 runs failed" in swept.stderr
    (kept,) = here.glob("results/*/*/error.txt")
    assert "iteration" in kept.read_text()
    assert sorted(m["status"] for m in manifests()) == ["failed", "finished"]
    assert "Traceback" not in swept.stderr

"""Whether the defaults are sane: ``python -m bnnbench.defaults`` (or ``make defaults``), one to two hours on two cores.

Every method runs on every dataset that is here, with the settings that the tool has when nobody chooses any: model,
prior, step size, budget. Its predictions are put beside those of a linear model on the same prepared data, ridge or
logistic regression of scikit-learn, and beside the constant prediction that knows the training targets alone. UCI sets
are run on three of their splits, whose scores are averaged. Runs that are finished are not made again.

It writes results/published/defaults.csv, a line per dataset and method, and exits with 1 if a run ended worse than the
linear model, by more than two standard errors of a score on so many test data, or did not end.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnnbench.config.composition import choices, compose
from bnnbench.errors import BnnbenchError, DataError
from bnnbench.store import files
from bnnbench.store.manifest import Manifest

RESULTS, NAME = Path("results"), "defaults"
TABLE = RESULTS / "published" / "defaults.csv"
UCI = ("boston", "concrete", "wine", "yacht")
SPLITS = "0,1,2"  # of the twenty
COLUMNS = ("dataset", "method", "runs", "iterations", "measure", "score", "nll", "linear", "linear_nll", "constant")


@dataclass(frozen=True)
class Baseline:
    """What needs no network: scores on the test split, in the target's units; NLL in nats per datum.

    Attributes:
        linear, linear_nll: of ridge regression (RMSE), its penalty chosen on the training data and its noise from their
            residuals, or of logistic regression (error) under N(0, 1) on its coefficients.
        constant: of the training mean, or of the most frequent class.
    """

    linear: float
    linear_nll: float
    constant: float


def datasets(names: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return dataset → its overrides, of those in `names`, or of all that the tool ships."""
    every: dict[str, tuple[str, ...]] = {n: (f"dataset={n}",) for n in choices("dataset") if n != "uci"}
    every |= {name: ("dataset=uci", f"dataset.name={name}", f"dataset.split={SPLITS}") for name in UCI}
    return {name: overrides for name, overrides in every.items() if not names or name in names}


def baseline(overrides: Sequence[str]) -> Baseline:
    """Return the baselines on the dataset that `overrides` choose.

    Raises:
        DataError: it is not here.
    """
    import numpy as np
    import torch
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, RidgeCV

    from bnnbench.data import load_data
    from bnnbench.experiment.assembly import check, task_of

    config = check(compose(overrides))
    data = load_data(config.dataset, targets=task_of(config), root=config.data.root, seed=0, device=torch.device("cpu"))
    test = data.evaluation["test"]
    x, y = data.train.x.flatten(1).numpy(), data.train.y.numpy()
    test_x, test_y = test.x.flatten(1).numpy(), test.y.numpy()
    constant = float(data.targets.constant_score(data.train.y, test.y))
    if data.targets.name == "regression":
        model = RidgeCV(np.logspace(-3, 3, 13)).fit(x, y)
        scale = data.targets.target_std
        rmse = math.sqrt(np.mean((model.predict(test_x) - test_y) ** 2))
        variance = np.mean((model.predict(x) - y) ** 2)
        nll = 0.5 * math.log(2 * math.pi * variance) + rmse**2 / (2 * variance) + math.log(scale)
        return Baseline(scale * rmse, nll, constant)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 100 steps of L-BFGS are enough for a baseline
        classifier = LogisticRegression(max_iter=100).fit(x, y)
    log_p = classifier.predict_log_proba(test_x)
    wrong = float(np.mean(log_p.argmax(1) != test_y))
    nll = -float(np.mean(log_p[np.arange(len(test_y)), test_y]))
    return Baseline(wrong, nll, constant)


def run_all(overrides: Sequence[str], methods: Sequence[str], jobs: int | None = None) -> list[Path]:
    """Run what is missing, `jobs` at a time; return the folders, also of runs that failed."""
    from bnnbench.store.folder import run_path
    from bnnbench.sweep.launchers.local import Local
    from bnnbench.sweep.plan import combinations
    from bnnbench.sweep.sweep import sweep

    words = [*overrides, f"method={','.join(methods)}", f"results={RESULTS}", f"name={NAME}", "threads=1"]
    try:
        sweep(words, Local(n_jobs=jobs or "auto"))
    except BnnbenchError as error:
        print(error, file=sys.stderr)  # a run that diverged is a result
    return [run_path(compose(each)) for each in combinations(words)]


def line(dataset: str, method: str, folders: Sequence[Path], bases: Mapping[str, Baseline]) -> dict[str, Any]:
    """Return the line of one method on one dataset: means over its runs."""
    from bnnbench.analysis.predictions import final_scores
    from bnnbench.store.frame import load_run
    from bnnbench.tasks.measures import main_measure

    row: dict[str, Any] = {"dataset": dataset, "method": method, "runs": len(folders)}
    base = [bases[_split(folder)] for folder in folders]
    row |= {key: _mean(asdict(each)[key] for each in base) for key in ("linear", "linear_nll", "constant")}
    manifests = [Manifest.read(folder) for folder in folders]
    row |= {key: manifests[0].get(key) for key in ("device_name", "git_commit")}
    row["torch"] = (manifests[0].get("versions") or {}).get("torch")
    if not all(manifest.finished for manifest in manifests):
        why = next(str(m.get("error") or m.status or "not run") for m in manifests if not m.finished)
        return {**row, "verdict": f"failed: {why.splitlines()[0]}"}
    runs = [load_run(folder) for folder in folders]
    scores = [final_scores(run) for run in runs]
    measure = main_measure(manifests[0], scores[0]).name
    row |= {"iterations": manifests[0].get("iterations"), "measure": measure}
    row |= {"score": _mean(s[measure] for s in scores), "nll": _mean(s["nll"] for s in scores)}
    return {**row, "verdict": verdict(row["score"], row["linear"], measure, sum(_size(folder) for folder in folders))}


def verdict(score: float, linear: float, measure: str, size: int) -> str:
    """Return ``better`` or ``worse than linear``; ``equal`` to two standard errors of the score on `size` test data.

    They are √(p(1 − p)/n) for an error p, and R/√(2n) for an RMSE R of Gaussian residuals.
    """
    error = math.sqrt(linear * (1 - linear) / size) if measure == "error" else linear / math.sqrt(2 * size)
    if abs(score - linear) <= 2 * error:
        return "equal"
    return "better" if score < linear else "worse than linear"


def _size(folder: Path) -> int:
    """Return the number of test data of a run."""
    from bnnbench.store import per_datum

    kept = [per_datum.read(folder, "test", predictor, "nll") for predictor in ("posterior", "current")]
    return next(len(values) for scores in kept for values in scores.values())


def _split(folder: Path) -> str:
    from bnnbench.store.frame import load_run

    return str(load_run(folder).config["dataset"].get("split", ""))


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the CSV."""
    import pandas as pd

    columns = (*COLUMNS, "verdict", "device_name", "torch", "git_commit")
    return pd.DataFrame(rows, columns=list(columns)).to_csv(index=False, float_format="%.6g")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare, write and print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bnnbench.defaults", description=__doc__.partition("\n")[0])
    parser.add_argument("datasets", nargs="*", help="some of them (default: all), such as: digits yacht")
    parser.add_argument("--methods", help="some of them, separated by commas (default: all)")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: as `bnnbench run -m`)")
    parser.add_argument("--out", type=Path, default=TABLE, help=f"the CSV file (default: {TABLE})")
    options = parser.parse_args(arguments)
    known, methods = datasets(), choices("method")
    chosen = methods if options.methods is None else options.methods.split(",")
    for words, allowed in ((options.datasets, known), (chosen, methods)):
        for word in words:
            if word not in allowed:
                parser.error(f"no '{word}'; there are {', '.join(allowed)}")
    rows, bad = [], 0
    for dataset, overrides in datasets(options.datasets).items():
        splits = SPLITS.split(",") if overrides[-1].endswith(SPLITS) else [""]
        try:
            bases = {s: baseline([*overrides[:2], *([f"dataset.split={s}"] if s else [])]) for s in splits}
        except DataError as error:
            print(f"left out: {str(error).splitlines()[0]}", flush=True)
            continue
        folders = run_all(overrides, chosen, options.jobs)
        for method in chosen:
            row = line(dataset, method, [f for f in folders if _method(f) == method], bases)
            rows.append(row)
            bad += row["verdict"] not in ("better", "equal")
            score = f"{row['score']:.4g}, linear {row['linear']:.4g}" if "score" in row else ""
            print(f"{dataset:<14} {method:<18} {score:<28} {row['verdict']}", flush=True)
        files.write(options.out, table(rows))  # what there is so far, should it be stopped
    print(f"{options.out}: {len(rows)} lines, {bad} worse than the linear model")
    return 1 if bad else 0


def _method(folder: Path) -> str:
    from bnnbench.store.frame import load_run

    return str(load_run(folder).config["method"]["name"])


def command(arguments: Sequence[str] | None = None) -> int:
    """Do what `main` does, and return its exit code; 1 after an error, 130 if interrupted."""
    try:
        return main(arguments)
    except BnnbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(command())

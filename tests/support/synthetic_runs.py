"""Runs made by hand: folders as a run leaves them, with numbers that a test can recompute."""

import csv
import json

import yaml

from bnnbench.store.frame import COLUMNS


def row(iteration, error, *, chain=0, split="test", predictor="posterior", **more):
    return {
        "iteration": iteration,
        "epoch": iteration / 100,
        "grad_evals": iteration * 100,
        "train_seconds": iteration * 0.01,
        "chain": chain,
        "split": split,
        "predictor": predictor,
        "error": error,
    } | more


def write_run(folder, rows, *, method="psgld", label=None, seed=0, dataset="mnist", T=1.0, status="finished", **config):
    """Write a run's folder; `config` replaces parts of the configuration."""
    folder.mkdir(parents=True)
    optimizer = {"name": method, "lr": 5e-4} | config.pop("optimizer", {})
    method_part = {"label": label or method.upper(), "optimizer": optimizer, "norm": config.pop("norm", "none")}
    resolved = {
        "seed": seed,
        "chains": 1,
        "dataset": {"name": dataset, "label": dataset.upper()} | config.pop("options_of_dataset", {}),
        "model": {"name": "mlp", "label": "MLP 400-400", "widths": [400, 400]},
        "method": method_part,
    } | config
    manifest = {"status": status, "temperature": T, "num_data": 50_000, "method": method, "dataset": dataset}
    (folder / "config.yaml").write_text(yaml.safe_dump(resolved, sort_keys=False))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder

"""Evaluates the current iterates and the posterior mean on every split, without disturbing the training state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from bnnbench.data import Data, Split
from bnnbench.errors import ConfigError, DivergedError
from bnnbench.inference.approximations.base import Approximation, Predictions, Predictives
from bnnbench.inference.chains import Chains
from bnnbench.inference.normalisation import Running
from bnnbench.inference.random import derive_seed, layer_stream
from bnnbench.layers.network import covered_by_kl
from bnnbench.layers.sparsity import fraction_dropped
from bnnbench.tasks.base import Predictive, Task
from bnnbench.tasks.metrics.base import Metric

Row = dict[str, Any]
DRAWN = 2000  # data per pass if predictions are drawn


def splits_of(data: Data, chosen: list[str], task: Task) -> dict[str, Split]:
    """Return the splits of `data` to evaluate: those that are `chosen`, then the out-of-distribution sets.

    Raises:
        ConfigError: none of the chosen ones exists; out-of-distribution sets for a task that cannot detect them.
    """
    found = {name: split for name, split in data.evaluation.items() if name in chosen}
    if not found:
        raise ConfigError(
            f"eval.splits={chosen}: this dataset has {', '.join(data.evaluation)}. "
            "A validation split is held out by dataset.valid=0.1, say."
        )
    if data.ood and not task.detects_ood:
        raise ConfigError(f"eval.ood: {task.name} has no score for out-of-distribution data. Leave eval.ood out.")
    return {**found, **data.ood}


class Evaluator:
    """Makes the rows of metrics.csv from the networks of a run.

    Args:
        task: outputs → predictive distribution → scores.
        chains: the networks.
        splits: name → data.
        ood: which of the splits are out of distribution.
        approximation: of the posterior; started here.
        normalisation: BatchNorm's policy.
        batch_size: data per forward pass, all chains counted. Drawn predictions have a size of their own, since the
            noise depends on it.
        seed: of the run; the draws of stochastic layers derive theirs from it.
        metrics: to record beside the task's own measures.
        random: where the layers' draws come from, see `bnnbench.inference.random.layer_stream`.

    Attributes:
        per_datum: (split, predictor, chain) → measure → each datum's contribution [N], of the last call that asked.
    """

    def __init__(
        self,
        task: Task,
        chains: Chains,
        splits: Mapping[str, Split],
        ood: set[str],
        approximation: Approximation,
        normalisation: Running,
        batch_size: int,
        seed: int,
        metrics: Sequence[Metric] = (),
        random: Literal["counter", "torch"] = "torch",
    ) -> None:
        self.task, self.chains, self.splits, self.ood = task, chains, dict(splits), ood
        self.approximation, self.normalisation = approximation, normalisation
        self.batch_size = DRAWN if approximation.draws_from_layers else batch_size
        self.seed, self.metrics, self.random = seed, metrics, random
        self.device = next(iter(self.splits.values())).x.device
        self.in_distribution = "test" if "test" in self.splits else next(iter(self.splits))
        self.has_kl = bool(covered_by_kl(chains.network))
        self.per_datum: dict[tuple[str, str, str], dict[str, Tensor]] = {}
        approximation.start(chains, self._empty)

    @torch.no_grad()
    def __call__(self, *, member: bool, rows: bool = True, iteration: int = 0, per_datum: bool = False) -> list[Row]:
        """Evaluate the networks as they are now.

        Args:
            member: whether they join the posterior mean.
            rows: whether rows are wanted; otherwise only the posterior mean is updated.
            iteration: of the run; the draws of stochastic layers depend on it.
            per_datum: whether to keep the scores of every datum too, in the attribute of that name.
        """
        seeds = [derive_seed(self.seed, k, "eval", iteration) for k in range(self.chains.count)]
        with layer_stream(seeds, self.device, self.random):
            predictions = self._predict()
            if member:
                self.approximation.add(predictions)
            if not rows:
                return []
            current = self._empty("probability")
            for split, values in predictions.items():
                current[split].add(values)
            posterior = self.approximation.predict(self._predict)
            measures = self._measures_of_the_weights()
        self.per_datum = {}
        done = self._rows("current", current, per_datum)
        for row in done:
            row |= {name: values[row["chain"]] for name, values in measures.items()}
        if posterior is not None:
            done += self._rows("posterior", posterior, per_datum)
        ensemble = current if self.approximation.pools_iterates else posterior
        if ensemble is not None and self.chains.count > 1:
            done += self._rows("posterior", ensemble, per_datum, pooled=True)
        return done

    def _measures_of_the_weights(self) -> dict[str, list[float]]:
        """Return column → value of each chain, for the measures that depend on the weights alone."""
        measures = {"kl": self.chains.kl().tolist()} if self.has_kl else {}
        states = [self.chains.state_of(k) for k in range(self.chains.count)]
        dropped = [fraction_dropped(self.chains.network, state) for state in states]
        drops = [fraction for fraction in dropped if fraction is not None]  # all chains have the same layers
        return {**measures, "sparsity": drops} if drops else measures

    def _predict(self) -> Predictions:
        """Return split → parameters of the predictive distributions of the current networks [K, N, …]."""
        with self.normalisation.evaluating() as buffers:
            return {name: self._predict_split(split.x, buffers) for name, split in self.splits.items()}

    def batches(self, x: Tensor) -> Iterable[Tensor]:
        """Return the inputs `x` in the batches in which they are evaluated: the last digits may depend on them."""
        return self.normalisation.batches(x, max(1, self.batch_size // self.chains.count))

    def _predict_split(self, x: Tensor, buffers: dict[str, Tensor] | None) -> Tensor:
        outputs = [self.chains(batch, shared=True, buffers=buffers) for batch in self.batches(x)]
        whole = torch.cat(outputs, dim=1).double()
        if whole.isnan().any():
            raise DivergedError("the network's outputs are NaN in evaluation mode, though its loss is finite.")
        # In single precision a softmax is 0 where logits differ by more than 103; one such 0 would decide the mean NLL.
        return self.task.predict(whole)

    def _empty(self, average: str) -> Predictives:
        return {name: self.task.predictive(split.y, average) for name, split in self.splits.items()}

    def _rows(self, predictor: str, predictives: Predictives, per_datum: bool, pooled: bool = False) -> list[Row]:
        rows = []
        chains = ["all"] if pooled else list(range(self.chains.count))
        known = predictives[self.in_distribution]
        members = known.members * (self.chains.count if pooled else 1)
        for name, split in self.splits.items():
            if name in self.ood:  # labels of another dataset have no meaning here
                scores = self.task.ood_scores(predictives[name], known, pooled)
            else:
                scores = self._scores(predictives[name], split.y, pooled)
            lists = {measure: value.tolist() for measure, value in scores.items()}
            for k, chain in enumerate(chains):
                row = {"chain": chain, "split": name, "predictor": predictor, "members": members}
                rows.append({**row, **{measure: values[k] for measure, values in lists.items()}})
            if per_datum and name not in self.ood:
                parts = self.task.per_datum(predictives[name], split.y, pooled)
                for k, chain in enumerate(chains):
                    self.per_datum[name, predictor, str(chain)] = {measure: part[k] for measure, part in parts.items()}
        return rows

    def _scores(self, predictive: Predictive, y: Tensor, pooled: bool) -> dict[str, Tensor]:
        scores = self.task.scores(predictive, y, pooled)
        if self.metrics:
            prediction = predictive.result(pooled)
            scores |= {metric.measure.name: metric(prediction, y, self.task) for metric in self.metrics}
        return scores

"""Evaluates the current iterates and the posterior mean on every split, without disturbing the training state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from bnnbench.config.schema import RunConfig
from bnnbench.data import Data, Split
from bnnbench.errors import ConfigError
from bnnbench.inference import normalisation
from bnnbench.inference.chains import Chains
from bnnbench.inference.random import derive_seed, layer_stream
from bnnbench.layers.conversion import sampling
from bnnbench.layers.network import covered_by_kl
from bnnbench.layers.normalisation import norm_modules
from bnnbench.layers.sparsity import fraction_dropped
from bnnbench.tasks import metrics
from bnnbench.tasks.likelihood import Likelihood
from bnnbench.tasks.predictive import ClassPredictive, GaussianPredictive, Predictive

Row = dict[str, Any]
DRAWN = 2000  # data per pass where predictions are drawn


class Evaluator:
    """Rows of metrics.csv for the networks of a run.

    Args:
        config: gives the splits, the BatchNorm policy, and how members are averaged.
        data: the splits, the out-of-distribution sets and the training data for refitted normalisation.
        chains: the networks.
        likelihood: outputs → predictive distribution.
    """

    def __init__(self, config: RunConfig, data: Data, chains: Chains, likelihood: Likelihood) -> None:
        self.config, self.data, self.chains, self.likelihood = config, data, chains, likelihood
        chosen = {name: split for name, split in data.evaluation.items() if name in config.eval.splits}
        if not chosen:
            raise ConfigError(
                f"eval.splits={config.eval.splits}: this dataset has {', '.join(data.evaluation)}. "
                "A validation split is held out by dataset.valid=0.1, say."
            )
        if data.ood and data.task == "regression":
            raise ConfigError("eval.ood: the score is the entropy of class probabilities; regression has none.")
        self.splits: dict[str, Split] = {**chosen, **data.ood}
        self.in_distribution = "test" if "test" in self.splits else next(iter(self.splits))
        predictive = config.method.predictive
        self.samples = predictive.name == "samples"
        self.draws = predictive.draws if predictive.name == "monte_carlo" else 0
        self.average = predictive.average if predictive.name == "samples" else "probability"
        self.posterior = {name: self._empty(split, self.average) for name, split in self.splits.items()}
        self.has_kl = bool(covered_by_kl(chains.network))
        self.batch_norm = any(True for _ in norm_modules(chains.network))
        if self.batch_norm and config.batch_size == 1:
            raise ConfigError("batch_size=1: BatchNorm takes a variance over the batch. Take 2 or more.")
        size = min(config.method.bn_refit_size, len(data.train))
        generator = torch.Generator().manual_seed(derive_seed(config.seed, 0, "eval"))
        subset = torch.randperm(len(data.train), generator=generator)[:size]
        self.refit_x = data.train.x[subset.to(data.train.x.device)] if self.batch_norm else data.train.x[:0]

    def freeze(self) -> None:
        """Fix BatchNorm's statistics for the rest of training (policy ``frozen``, at the end of burn-in)."""
        normalisation.freeze(self.chains, self.refit_x, self.config.batch_size)

    @torch.no_grad()
    def __call__(self, *, member: bool, weight: float = 1.0, rows: bool = True, iteration: int = 0) -> list[Row]:
        """Evaluate the networks as they are now.

        Args:
            member: whether they join the posterior mean.
            weight: of that member.
            rows: whether rows are wanted; otherwise only the posterior mean is updated.
            iteration: of the run; the draws of stochastic layers depend on it.
        """
        with layer_stream(derive_seed(self.config.seed, 0, "eval", iteration), self.refit_x.device):
            current = {}
            for name, values in self._predict_all().items():
                current[name] = self._empty(self.splits[name], "probability")
                current[name].add(values)
                if member:
                    self.posterior[name].add(values, weight)
            if not rows:
                return []
            if self.draws:
                self._draw()
            measures = self._measures_of_the_weights()
        done = self._rows(current)
        for row in done:
            if row["predictor"] == "current":
                row |= {name: values[row["chain"]] for name, values in measures.items()}
        return done

    def _draw(self) -> None:
        """Make the posterior mean anew, over draws of the layers' noise."""
        self.posterior = {name: self._empty(split, self.average) for name, split in self.splits.items()}
        with sampling(self.chains.network, True):
            for _ in range(self.draws):
                for name, values in self._predict_all().items():
                    self.posterior[name].add(values)

    def _measures_of_the_weights(self) -> dict[str, list[float]]:
        """Return column → value of each chain, of what the weights alone decide."""
        measures = {"kl": self.chains.kl().tolist()} if self.has_kl else {}
        states = [self.chains.state_of(k) for k in range(self.chains.count)]
        dropped = [fraction_dropped(self.chains.network, state) for state in states]
        return measures if dropped[0] is None else {**measures, "sparsity": dropped}

    def _predict_all(self) -> dict[str, Tensor]:
        """Return split → predictive parameters of the current networks [K, N, …], under the BatchNorm policy."""
        policy = self.config.method.bn_stats if self.batch_norm else "running"
        if policy == "batch":
            with normalisation.of_the_batch(self.chains) as buffers:
                size = self.config.batch_size
                return {n: self._predict(_batches(s.x, size), buffers) for n, s in self.splits.items()}
        buffers = None
        frozen = self.batch_norm and not next(norm_modules(self.chains.network)).training
        if policy in ("refit", "frozen") and not frozen:
            buffers = normalisation.refit(self.chains, self.refit_x, self.config.batch_size)
        with self.chains.mode(False):
            return {n: self._predict(s.x.split(self._chunk), buffers) for n, s in self.splits.items()}

    @property
    def _chunk(self) -> int:
        """Data per pass, for a constant memory. What draws keeps its own size: the noise goes by passes."""
        return max(1, (DRAWN if self.draws else self.config.eval.batch_size) // self.chains.count)

    def _predict(self, batches: Iterable[Tensor], buffers: dict[str, Tensor] | None) -> Tensor:
        outputs = [self.chains(batch, shared=True, buffers=buffers) for batch in batches]
        # In single precision a softmax is 0 from a gap of 103 on, and one such zero would decide the mean NLL.
        return self.likelihood.predict(torch.cat(outputs, dim=1).double())

    def _empty(self, split: Split, average: str) -> Predictive:
        if self.data.task == "regression":
            return GaussianPredictive(split.y)
        return ClassPredictive(average)

    def _rows(self, current: dict[str, Predictive]) -> list[Row]:
        rows = self._rows_of("current", current, members=1)
        if (self.samples or self.draws) and self.posterior[self.in_distribution].members:
            members = self.posterior[self.in_distribution].members
            rows += self._rows_of("posterior", self.posterior, members=members)
            if self.chains.count > 1:
                rows += self._rows_of("posterior", self.posterior, members=members, pooled=True)
        elif not self.samples and self.chains.count > 1:  # the ensemble of the last iterates
            rows += self._rows_of("posterior", current, members=1, pooled=True)
        return rows

    def _rows_of(
        self, predictor: str, predictive: dict[str, Predictive], members: int, pooled: bool = False
    ) -> list[Row]:
        results = {name: predictive[name].result(pooled) for name in self.splits}
        rows = []
        for name, split in self.splits.items():
            if self.data.task == "regression":
                scores = self._regression_scores(results[name], split)
            else:
                geometric = predictor == "posterior" and self.average == "log_probability"
                scores = self._class_scores(results[name], split, ood=name in self.data.ood, disagree=not geometric)
                if name in self.data.ood:
                    known = results[self.in_distribution]["probabilities"]
                    inside, outside = (metrics.entropy_per_datum(p) for p in (known, results[name]["probabilities"]))
                    scores["auroc"] = metrics.auroc(inside, outside)
            lists = {key: value.tolist() for key, value in scores.items()}
            for k in range(1 if pooled else self.chains.count):
                row = {"chain": "all" if pooled else k, "split": name, "predictor": predictor}
                row["members"] = members * self.chains.count if pooled else members
                rows.append({**row, **{key: value[k] for key, value in lists.items()}})
        return rows

    def _class_scores(self, result: dict[str, Tensor], split: Split, ood: bool, disagree: bool) -> dict[str, Tensor]:
        p = result["probabilities"]
        scores = {"entropy": metrics.entropy(p)}
        if disagree:  # H[p̄] − mean H[p_m] is a mutual information of the arithmetic mean alone
            scores["mutual_information"] = metrics.mutual_information(p, result["entropy"])
        if not ood:  # labels of another dataset mean nothing here
            scores["error"] = metrics.error(p, split.y)
            scores["nll"] = metrics.nll(p, split.y)
            scores["brier"] = metrics.brier(p, split.y)
            scores["ece"] = metrics.ece(p, split.y, self.config.eval.ece_bins)
        return scores

    def _regression_scores(self, result: dict[str, Tensor], split: Split) -> dict[str, Tensor]:
        scale = torch.tensor(self.data.target_std, dtype=torch.float64)  # to the target's own units
        return {
            "rmse": metrics.rmse(result["mean"], split.y, self.data.target_std),
            "nll": scale.log() - result["log_density"].mean(-1),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the running posterior means; those over draws are made anew by every evaluation."""
        return {n: predictive.state_dict() for n, predictive in self.posterior.items()} if self.samples else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the running posterior means."""
        for name, saved in state.items():
            self.posterior[name].load_state_dict(saved)


def _batches(x: Tensor, size: int) -> list[Tensor]:
    """Return `x` in batches of `size`; a last one of a single datum, which has no variance, joins the one before."""
    batches = list(x.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [x[-size - 1 :]]
    return batches

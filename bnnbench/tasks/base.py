"""The protocol of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor, nn

from bnnbench.tasks.measures import MEASURES, Measure

State = dict[str, Any]
PerDatum = dict[str, Tensor]  # measure → [N]


class Predictive(Protocol):
    """The predictive distribution of K chains on one split: a running, weighted mean over members.

        p̄(y | x) = Σ_m w_m p(y | x, θ_m) / Σ_m w_m

    Its memory does not grow with the number of members.
    """

    members: int  # of each chain

    def add(self, prediction: Tensor, weight: float = 1.0) -> None:
        """Add one member of every chain, as `Task.predict` returns it: [K, N, …]. Weight 0 counts for nothing."""

    def result(self, pooled: bool = False) -> dict[str, Tensor]:
        """Return what `Task.provides` names, of each chain [K, N, …]; of all together, K = 1, if `pooled`."""

    def state_dict(self) -> State:
        """Return all that `load_state_dict` needs to continue."""

    def load_state_dict(self, state: State) -> None:
        """Continue from a saved state."""


class Task(ABC):
    """A likelihood p(y | x, θ) and the measures of its predictions.

    Options of a task are the parameters of its constructor, checked against their annotations. Two are supplied if they
    are among them: ``classes``, the dataset's ``CLASSES``, and ``ece_bins``. The constructor raises ValueError where a
    value does not fit.

    Attributes:
        measures: what `scores` and `ood_scores` return: names of `bnnbench.tasks.measures.MEASURES`, and a `Measure`
            for each that is the task's own.
        score: the measure that stands for the others: in the progress of a run, in lists, in figures.
        provides: names of what `Predictive.result` returns, for further metrics (`bnnbench.tasks.metrics`); a task that
            names nothing needs no such method.
        detects_ood: whether `ood_scores` can tell an out-of-distribution set from the test split.
        standardises: whether ``dataset.standardise_target`` means anything.
    """

    measures: ClassVar[tuple[str | Measure, ...]]
    score: ClassVar[str]
    provides: ClassVar[tuple[str, ...]] = ()
    detects_ood: ClassVar[bool] = False
    standardises: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name that the task goes by: its file in ``tasks/``, or the dotted name of a user's class."""
        module = type(self).__module__
        own = module.removeprefix("bnnbench.tasks.")
        return own if own != module else f"{module}.{type(self).__qualname__}"

    @property
    def options(self) -> dict[str, Any]:
        """The options to make this task again with, beside those that are supplied."""
        return {}

    @property
    def own_measures(self) -> list[Measure]:
        """Those of `measures` that are not in the common table."""
        return [measure for measure in self.measures if isinstance(measure, Measure)]

    @property
    def recorded(self) -> list[Measure]:
        """All of `measures`, described."""
        return [measure if isinstance(measure, Measure) else MEASURES[measure] for measure in self.measures]

    # Targets.

    @abstractmethod
    def check(self, y: Tensor, where: str) -> Tensor:
        """Return targets [n] of raw data in the type that `fitted` and `transform` take.

        Args:
            y: as the dataset's ``load`` returned it.
            where: the dataset and its part, for messages.

        Raises:
            DataError: they are no targets of this task.
        """

    def fitted(self, y: Tensor, standardise: bool | None) -> Self:
        """Return this task with what it needs to know of the training targets `y`, checked ones; by default nothing.

        Args:
            standardise: ``dataset.standardise_target``; None is the task's own choice.
        """
        return self

    def transform(self, y: Tensor) -> Tensor:
        """Return checked targets as the network is to learn them."""
        return y

    # The likelihood.

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Width of the network's last layer."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return `network` with the parameters that the likelihood itself has to learn; by default there are none.

        A module that owns such parameters names them in ``likelihood_std``: {"rho": s} gives ρ the prior N(0, s²)
        instead of that of the weights.
        """
        return network

    @abstractmethod
    def nll(self, output: Tensor, y: Tensor) -> Tensor:
        """Return −(1/B) Σ_b log p(y_b | x_b, θ) in nats, differentiable any number of times.

        Args:
            output: of the wrapped network, [..., B, outputs]; leading axes pass through.
            y: transformed targets [..., B] or [B].
        """

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return `nll` of each of K chains, [K]: outputs [K, B, …], targets [K, B]."""
        if len(output) == 1:  # without the axis it may be one fused kernel
            return self.nll(output[0], y[0]).unsqueeze(0)
        return self.nll(output, y)

    def in_own_units(self, output: Tensor) -> Tensor:
        """Return the wrapped network's output [..., B, outputs] in the units of the dataset's targets, for users of an
        exported network; by default it is that already.
        """
        return output

    # Predictions.

    @abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """Return the parameters of one member's predictive distribution: [..., B, outputs] → [..., B, …]."""

    @abstractmethod
    def predictive(self, y: Tensor, average: str = "probability") -> Predictive:
        """Return an empty predictive distribution on a split with transformed targets `y` [N].

        Args:
            average: ``probability``, or ``log_probability`` for the normalised geometric mean where the task has one.
        """

    @abstractmethod
    def scores(self, predictive: Any, y: Tensor, pooled: bool = False) -> dict[str, Tensor]:
        """Return measure → value of each chain [K], of what `predictive` returned; of all chains together if `pooled`.

        Args:
            predictive: with at least one member.
            y: the split's transformed targets [N].
        """

    def constant_score(self, train: Tensor, y: Tensor) -> float | None:
        """Return the score of the best prediction that does not look at x; by default it is not known, None.

        Args:
            train: transformed targets of the training split.
            y: transformed targets of the split that is judged.
        """
        return None

    def per_datum(self, predictive: Any, y: Tensor, pooled: bool = False) -> dict[str, Tensor]:
        """Return measure → contribution of each datum [K, N], for measures whose score is the mean of such (or the root
        of that, where `Measure.root` says so). By default there are none; then no interval over the data can be given.
        """
        return {}

    def ood_scores(self, predictive: Any, known: Any, pooled: bool = False) -> dict[str, Tensor]:
        """Return the measures on an out-of-distribution set, beside `known`, the prediction on the test split.

        It is called if `detects_ood` says so.
        """
        raise AssertionError(f"{type(self).__name__} detects no out-of-distribution data")

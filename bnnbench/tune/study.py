"""The trials of one method's search, stored in an Optuna file that survives a crash at any instant.

A trial is written down with all its values before its run starts, and its score once the run has ended. Trials come in
rounds, first `STARTUP` of them, drawn at random (trial 0 being the settings as they stand), then `ROUND` at a time, by
the tree-structured Parzen estimator (Bergstra et al. 2011) as Optuna has it. Trial n is drawn from a stream of its own,
keyed by (seed, n), given the trials before its round: the trials are the same however many run at a time, whether the
search was stopped and continued or not, and whether it was asked for so many at once or for more and more.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import filelock
import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from bnnbench.errors import BnnbenchError, InUseError
from bnnbench.tune.space import Dimension

STARTUP = 10  # trials drawn at random; several keys would warrant more, but budgets are small
ROUND = 5  # trials drawn without one another's scores


class Study:
    """One method's trials; a context manager, so that no two processes search in the same file.

    Args:
        file: where they are stored; one for each space and seed.
        space: the search space.
        start: the values of trial 0, or None.
        seed: of the search.
        maximize: whether a larger score is better.
    """

    def __init__(
        self,
        file: Path,
        space: Sequence[Dimension],
        start: Mapping[str, Any] | None,
        seed: int,
        maximize: bool = False,
    ) -> None:
        self.file, self.space, self.start, self.seed = file, space, start, seed
        self.maximize = maximize

    def __enter__(self) -> Study:
        """Open the file.

        Raises:
            InUseError: another process searches there. BnnbenchError: the file is not Optuna's or cannot be written.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.file.with_name(f".{self.file.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InUseError(f"{self.file}: another process is searching there; nothing was changed.") from None
        try:
            self._study = optuna.create_study(
                storage=self._storage(), study_name="tune", direction=self._direction, load_if_exists=True
            )
        except Exception as error:  # SQLAlchemy's, of many kinds
            self._lock.release()
            raise BnnbenchError(
                f"{self.file}: damaged, or not writable ({str(error).splitlines()[0]}). "
                "Remove it and the search starts over; finished runs are not run again."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._study._storage.remove_session()
        self._lock.release()

    def _storage(self) -> optuna.storages.RDBStorage:
        """Return Optuna's storage in the file, of whatever name: in a URL a ``?``, ``%`` or ``{`` would mean more."""
        database = str(self.file.absolute())
        kept = {"creator": lambda: sqlite3.connect(database, check_same_thread=False), "poolclass": QueuePool}
        return optuna.storages.RDBStorage("sqlite://", engine_kwargs=kept)

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Explain why the file cannot be read or written: a full disk, a lock, a disk that went away."""
        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
            why = str(getattr(cause, "orig", cause)).splitlines()[0]
            raise BnnbenchError(f"{self.file}: {why}. Nothing is lost: the same command goes on.") from error

    def trials(self, count: int) -> list[FrozenTrial]:
        """Return the first `count` trials: the same number for every method, even if an earlier search made more."""
        with self._reachable():
            return self._study.get_trials(deepcopy=False)[:count]

    def round(self, count: int) -> list[FrozenTrial]:
        """Return the trials to run next, of `count` in all: those already begun, and new ones to complete the round."""
        held = self.trials(count)
        first = next((trial.number for trial in held if not trial.state.is_finished()), len(held))
        end = STARTUP if first < STARTUP else first + ROUND - (first - STARTUP) % ROUND
        for number in range(len(held), min(end, count)):
            values = self.start if number == 0 and self.start is not None else self._draw(number)
            # A trial in one transaction: it is stored with its values, or not at all.
            with self._reachable():
                self._study.add_trial(self._begun(values))
        return [trial for trial in self.trials(count) if not trial.state.is_finished()]

    def tell(self, trial: FrozenTrial, score: float | None) -> None:
        """Record the `score` of `trial`; None: it failed, which the search treats as worse than any score."""
        with self._reachable():
            if score is None:
                self._study.tell(trial.number, state=TrialState.PRUNED)  # Optuna's sampler ignores the state FAIL
            else:
                self._study.tell(trial.number, score)

    def best(self, count: int) -> FrozenTrial | None:
        """Return the earliest trial with the best score, of the first `count`; None if all failed."""
        sign = -1 if self.maximize else 1
        done = [
            (sign * trial.value, trial.number, trial)
            for trial in self.trials(count)
            if trial.state == TrialState.COMPLETE and trial.value is not None
        ]
        return min(done)[-1] if done else None  # no two have one number

    def failed(self, count: int) -> int:
        """Return the number of the first `count` trials that failed."""
        return sum(trial.state == TrialState.PRUNED for trial in self.trials(count))

    def overrides(self, trial: FrozenTrial) -> list[str]:
        """Return the values of `trial` in Hydra's grammar."""
        return [d.override(trial.params[d.key]) for d in self.space]

    @property
    def _direction(self) -> Literal["minimize", "maximize"]:
        return "maximize" if self.maximize else "minimize"

    @property
    def _distributions(self) -> dict[str, Any]:
        return {d.key: d.distribution for d in self.space}

    def _begun(self, values: Mapping[str, Any]) -> FrozenTrial:
        """Return a trial of `values` that has no score yet."""
        return optuna.create_trial(state=TrialState.RUNNING, params=dict(values), distributions=self._distributions)

    def _draw(self, number: int) -> dict[str, Any]:
        """Return the values of trial `number`, given the scores before its round and the values within."""
        known = number - (number - STARTUP) % ROUND if number >= STARTUP else 0
        stream = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # A trial without a score yet counts as a bad one, so that the trials of a round keep their distance.
            sampler = optuna.samplers.TPESampler(
                seed=stream, n_startup_trials=STARTUP, multivariate=True, constant_liar=True
            )
            copy = optuna.create_study(sampler=sampler, direction=self._direction)
            # Scores of its own round exist if the search was first asked for fewer trials.
            copy.add_trials([t if t.number < known else self._begun(t.params) for t in self.trials(number)])
            drawn = copy.ask(self._distributions).params
        return {d.key: d.rounded(drawn[d.key]) for d in self.space}

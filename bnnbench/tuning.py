"""`bnnbench tune`: for each method a search of equally many trials on the validation split; every trial is a run.

State lies in <results>/<name>/tuning-<method>.db beside the runs, the outcome in <results>/<name>/best/<method>.yaml:
a configuration for ``bnnbench run --config-dir <results>/<name> +best=<method>`` that trains on all training points.
The trials depend on the seeds, on `Study`'s rounds, and on the scores; so one command makes the same trials on a fresh
folder, with one number of --jobs, threads and device, whether it was interrupted or not.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from optuna.trial import FrozenTrial

from bnnbench import plugins, sweep
from bnnbench.chosen import report, write_best
from bnnbench.errors import BnnbenchError, ConfigError, InUseError
from bnnbench.launchers.base import FuturesLauncher
from bnnbench.launchers.jobs import FAILED, FINISHED, IN_USE, INTERRUPTED, NOT_STARTED, Job, Outcome, resolve
from bnnbench.launchers.report import SweepReporter
from bnnbench.search_space import Dimension, Question, around, corners, read
from bnnbench.study import Study

VALID = 0.1  # of the training split, held out if the dataset's file holds out none


def register() -> None:
    """Make the search known to Hydra, as a sweeper."""
    sweep.register()
    module = importlib.import_module("hydra_plugins.bnnbench")
    named = type("Tuner", (Tuner,), {"__module__": module.__name__})
    module.Tuner = named  # type: ignore[attr-defined]
    Plugins.instance().register(named)


@dataclass
class Search:
    """The search of one method.

    Attributes:
        method: as typed.
        overrides: of every trial.
        space: what is searched over.
        config: the resolved configuration without the values of a trial.
        study: the trials.
    """

    method: str
    overrides: list[str]
    space: list[Dimension]
    config: dict[str, Any]
    study: Study


class Tuner(sweep.Sweeper):
    """The searches of all methods, trial by trial side by side.

    Args:
        trials: of each method.
        metric: a column of metrics.csv; the less the better.
        seed: of the search.
        params: keys that stand in a file, as for a sweep.
    """

    def __init__(self, trials: int, metric: str, seed: int, params: dict[str, str] | None = None) -> None:
        super().__init__(params)
        self.trials, self.metric, self.seed = trials, metric, seed

    def sweep(self, arguments: list[str]) -> None:
        """Do the trials that are left, then say which settings are best and write them down.

        Raises:
            ConfigError: settings, space or budget are wrong, or the file holds another search; nothing was started.
            BnnbenchError: no trial of a method could begin, or all failed. InUseError: another process is searching
            there or writes one of the runs. KeyboardInterrupt: the search was stopped.
        """
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        question = read(parser.parse_overrides([*(f"{k}={v}" for k, v in self.params.items()), *arguments]))
        methods = question.methods or [str(self.config.hydra.runtime.choices["method"])]
        searches = [self._search(method, question) for method in methods]
        combinations = [[*s.overrides, *corner] for s in searches for corner in corners(s.space)]
        sweep.plan(self.hydra_context, self.config, combinations)
        with ExitStack() as stack:
            for search in searches:
                stack.enter_context(search.study)
            self._do(searches)
            files = [write_best(s, self.trials, self.metric, self.seed, parser) for s in searches]
            report(searches, files, self.trials, self.metric, self.hydra_context.config_loader)
        for search, file in zip(searches, files, strict=True):
            if file is None:
                raise BnnbenchError(
                    f"method={search.method}: all {self.trials} trials failed, and the folders of their runs say why.\n"
                    f"To search anew, remove {search.study.file}."
                )

    def _search(self, method: str, question: Question) -> Search:
        """Return the search of `method`, nothing of it begun."""
        overrides = [f"{o.get_key_element()}={o.get_value_element_as_str()}" for o in question.fixed]
        overrides.append(f"method={method}")
        raw = self._resolved(overrides)
        given = {o.key_or_group for o in question.fixed}
        if not raw["dataset"].get("valid"):
            if "dataset.valid" in given:
                raise ConfigError("dataset.valid=0: trials are judged by points held out of training. Take 0.1, say.")
            overrides.append(f"++dataset.valid={VALID}")
        if "eval.splits" not in given:
            overrides.append("eval.splits=[valid]")  # nobody is to look at the test split yet
        raw = self._resolved(overrides)
        if "valid" not in raw["eval"]["splits"]:
            raise ConfigError(f"eval.splits={raw['eval']['splits']}: trials are judged on valid; it must be there.")
        if raw["force"] is True:
            raise ConfigError("force=true: a search repeats no trial. Take another name=… to search anew.")
        regression = plugins.find("data", raw["dataset"]["name"]).TASK == "regression"
        if regression != (self.metric == "rmse") and self.metric != "nll":
            allowed = "nll or rmse" if regression else "nll, error or brier"
            raise ConfigError(f"--metric {self.metric}: {raw['dataset']['name']} has {allowed}.")
        space = question.space or [around(raw["method"]["update"].get("lr"))]
        folder = Path(raw["results"]).expanduser() / raw["name"]
        study = Study(folder / f"tuning-{method}.db", space, _start(raw, space), self.seed, _question(self, raw, space))
        return Search(method, overrides, space, raw, study)

    def _resolved(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the resolved configuration of `overrides`, or raise why there is none in our words."""
        from bnnbench.compose import translate

        try:
            return resolve(self.hydra_context, self.config, overrides, 0)
        except Exception as error:
            raise translate(error) from error

    def _do(self, searches: Sequence[Search]) -> None:
        """Run all trials that are left."""
        left = sum(not t.state.is_finished() for s in searches for t in s.study.trials(self.trials))
        left += sum(self.trials - len(s.study.trials(self.trials)) for s in searches)
        count = getattr(self.launcher, "n_jobs", 1)
        width = math.ceil(count / len(searches)) if isinstance(count, int) else 1
        with _Reporter(left) as reporter:
            reporter.say(_opening(searches, self.trials, left))
            while any(rounds := [s.study.round(self.trials, width) for s in searches]):
                self._round([(s, t) for s, begun in zip(searches, rounds, strict=True) for t in begun], reporter)

    def _round(self, begun: Sequence[tuple[Search, FrozenTrial]], reporter: SweepReporter) -> None:
        """Run the trials `begun` and write down how each ended."""
        from bnnbench.records import is_finished

        jobs: dict[Path, Job] = {}
        job_of: list[Job | None] = []
        for search, trial in begun:
            values = search.study.overrides(trial)
            try:
                (job,) = sweep.plan(self.hydra_context, self.config, [[*search.overrides, *values]], trial.number)
            except ConfigError as error:  # two values that do not go together
                reporter.say(f"trial {trial.number} of {search.method} failed: {str(error).splitlines()[0]}")
                job_of.append(None)
                continue
            job = replace(job, label=f"trial {trial.number}: {' '.join(values)}")
            job_of.append(jobs.setdefault(job.path.absolute(), job))
        outcomes = {job: Outcome(FINISHED) for job in jobs.values()}  # if so before, and not told
        outcomes |= self._launch([job for job in outcomes if not is_finished(job.path)], reporter)
        self._refuse_hopeless(begun, job_of, outcomes)
        for (search, trial), job in zip(begun, job_of, strict=True):
            outcome = Outcome(FAILED) if job is None else outcomes[job]
            if outcome.status not in (IN_USE, INTERRUPTED, NOT_STARTED):  # these are taken up again
                done = job is not None and outcome.status != FAILED
                search.study.tell(trial, score(job.path, self.metric) if job is not None and done else None)
        if any(outcome.status in (INTERRUPTED, NOT_STARTED) for outcome in outcomes.values()):
            raise KeyboardInterrupt
        if any(outcome.status == IN_USE for outcome in outcomes.values()):
            raise InUseError("Some trials are in use by another process; the same command later goes on with them.")

    def _launch(self, jobs: Sequence[Job], reporter: SweepReporter) -> Mapping[Job, Outcome]:
        """Run `jobs`; of a launcher that is not ours, the runs' own records say how they ended."""
        from bnnbench.records import is_finished

        if not jobs:
            return {}
        if isinstance(self.launcher, FuturesLauncher):
            return self.launcher.run(jobs, reporter)
        reporter.close()  # it writes as it likes
        self.launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=0)
        return {job: Outcome(FINISHED) if is_finished(job.path) else Outcome(FAILED, "see above") for job in jobs}

    def _refuse_hopeless(
        self,
        begun: Sequence[tuple[Search, FrozenTrial]],
        job_of: Sequence[Job | None],
        outcomes: Mapping[Job, Outcome],
    ) -> None:
        """Raise if no trial of a method has ever made a folder: not its values are wrong then, but the data, say.

        Raises:
            BnnbenchError: with the reason. The trials stay as they are, and the same command runs them.
        """
        for search in {id(s): s for s, _ in begun}.values():
            mine = [job for (s, _), job in zip(begun, job_of, strict=True) if s is search and job is not None]
            vain = [job for job in mine if outcomes[job].status == FAILED and not (job.path / "manifest.json").exists()]
            told = any(trial.state.is_finished() for trial in search.study.trials(self.trials))
            if vain and len(vain) == len(mine) and not told:
                raise BnnbenchError(f"method={search.method}: no trial could begin. {outcomes[vain[0]].why}")


class _Reporter(SweepReporter):
    """Progress of all searches: as that of a sweep, but what is the same in every round is said once."""

    def __init__(self, total: int) -> None:
        from bnnbench.progress import make_console

        super().__init__(total, make_console())
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            super().say(text)


def score(folder: Path, metric: str) -> float | None:
    """Return the last `metric` on the validation split of the run in `folder`: of the posterior mean, pooled over
    chains where it is, else of the last iterate, as the mean over chains. None if it is no finite number.
    """
    from bnnbench.results import last_scores, load_run

    run = load_run(folder)
    scores = last_scores(run, "posterior", "valid") or last_scores(run, "current", "valid")
    value = scores.get(metric, math.nan)
    return value if math.isfinite(value) else None


def _start(raw: Mapping[str, Any], space: Sequence[Dimension]) -> dict[str, Any] | None:
    """Return the values that the settings have as they stand, for trial 0; None if the space does not hold them."""
    values = {}
    for d in space:
        node: Any = raw
        for part in d.key.lstrip("+").split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        found = d.find(node)
        if found is None:
            return None
        values[d.key] = found
    return values


def _question(tuner: Tuner, raw: Mapping[str, Any], space: Sequence[Dimension]) -> dict[str, str]:
    """Return what must not change between two calls of one search."""
    from bnnbench.config import identity

    words = {"--metric": tuner.metric, "--seed": str(tuner.seed), "the space": "; ".join(map(str, space))}
    return {**words, "the hash of the other settings": identity(raw)}


def _opening(searches: Sequence[Search], trials: int, left: int) -> str:
    total = trials * len(searches)
    held = searches[0].config["dataset"]["valid"]
    words = f"{trials} trials of {', '.join(s.method for s in searches)}, judged with dataset.valid={held:g}"
    before = f"; {total - left} of {total} are done" if left < total else ""
    spaces = dict.fromkeys(f"  {s.method}: {d}" for s in searches for d in s.space)
    return "\n".join([words + before, *spaces])

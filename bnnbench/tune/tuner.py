"""`bnnbench tune`: for each method a search of equally many trials on the validation split; every trial is a run.

In <results>/<name> lie the runs, for each method study-<method>-<hash8>.db with its trials, and in the end
best/<method>-<hash8>.yaml: a configuration for ``bnnbench run --config-dir <results>/<name> +best=…`` that trains on
all training points. The hash is that of the settings, the space, the metric and the seed of the search: the same
command goes on with its search, any other one has a file of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from optuna.trial import FrozenTrial
from rich.console import Console

from bnnbench.config.composition import chosen_files, compose, config_loader
from bnnbench.config.identity import identity
from bnnbench.errors import BnnbenchError, ConfigError, InUseError
from bnnbench.experiment.assembly import check
from bnnbench.experiment.progress import make_console
from bnnbench.store.folder import is_finished
from bnnbench.sweep.hydra_plugin import Request
from bnnbench.sweep.jobs import Job, Outcome, Status
from bnnbench.sweep.plan import plan
from bnnbench.sweep.report import SweepReporter
from bnnbench.tasks.measures import Measure
from bnnbench.tune.best import report, write_best
from bnnbench.tune.objective import check_objective, check_start, score
from bnnbench.tune.search import Search
from bnnbench.tune.space import Dimension, Question, around, corners, read
from bnnbench.tune.study import Study

TAKEN_UP_AGAIN = (Status.IN_USE, Status.INTERRUPTED, Status.NOT_STARTED)
NAME = "tune"  # of the runs, by default: apart from those that `bnnbench run` makes


class Tuner:
    """The searches of all methods, side by side, round by round.

    Args:
        trials: of each method.
        metric: a measure with a direction.
        seed: of the search.
    """

    def __init__(self, trials: int, metric: str, seed: int) -> None:
        self.trials, self.metric, self.seed = trials, metric, seed

    def search(self, request: Request) -> None:
        """Run the remaining trials, then report the best settings and write them to files.

        Raises:
            ConfigError: settings or space are wrong; nothing was started.
            BnnbenchError: no trial of a method could begin, or all failed. InUseError: another process is searching
            there or writes one of the runs. KeyboardInterrupt: the search was stopped.
        """
        self.request = request
        loader = config_loader(request.config_dirs)
        parser = OverridesParser.create(config_loader=loader)
        question = read(parser.parse_overrides(request.overrides))
        searches = [self._search(method, question) for method in question.methods or [request.method]]
        with ExitStack() as stack:
            for search in searches:
                stack.enter_context(search.study)
            self._do(searches)
            files = [write_best(s, self.trials, parser) for s in searches]
            report(searches, files, self.trials, request.config_dirs)
        for search, file in zip(searches, files, strict=True):
            if file is None:
                raise BnnbenchError(
                    f"method={search.method}: all {self.trials} trials failed; the folders of their runs say why."
                )

    def _search(self, method: str, question: Question) -> Search:
        """Return the search of `method`, with everything checked and nothing started.

        Raises:
            ConfigError: what is wrong, and of which method.
        """
        overrides = [f"{o.get_key_element()}={o.get_value_element_as_str()}" for o in question.fixed]
        overrides.append(f"method={method}")
        given = {o.key_or_group for o in question.fixed}
        overrides += [] if "name" in given else [f"name={NAME}"]
        overrides += [] if "eval.splits" in given else ["eval.splits=[valid]"]  # the test split is not looked at yet
        try:
            raw = self._compose(overrides)
            measure = check_objective(raw, self.metric)
            if not question.space:
                check(raw)
            space = question.space or [around(raw["method"]["optimizer"].get("lr"))]
            ends = [self._compose([*overrides, *corner]) for corner in corners(space)]
            for end in ends:
                check(end)
                check_start(end)
        except ConfigError as error:
            if len(question.methods) > 1 and not str(error).startswith("method="):
                raise ConfigError(f"method={method}: {error}") from error
            raise
        # Of the ends too: a setting without effect as things stand, such as a KL's, may have one within the space.
        settings = [identity(raw), *sorted({identity(end) for end in ends})]
        words = json.dumps([settings, self.metric, self.seed, *map(str, space)])
        file = f"study-{raw['method']['name']}-{hashlib.sha256(words.encode()).hexdigest()[:8]}.db"
        folder = Path(raw["results"]).expanduser() / raw["name"]
        start = _start(raw, chosen_files(overrides, self.request.config_dirs), space)
        study = Study(folder / file, space, start, self.seed, maximize=measure.more_is_better is True)
        return Search(method, overrides, space, raw, study, measure)

    def _compose(self, overrides: Sequence[str]) -> dict[str, Any]:
        return compose([*self.request.common, *overrides], self.request.config_dirs)

    def _do(self, searches: Sequence[Search]) -> None:
        """Run the remaining trials."""
        done = sum(t.state.is_finished() for s in searches for t in s.study.trials(self.trials))
        with _Reporter(self.trials * len(searches) - done, make_console(records=True), searches[0].measure) as reporter:
            reporter.say(self._opening(searches, done))
            while any(rounds := [s.study.round(self.trials) for s in searches]):
                self._round([(s, t) for s, begun in zip(searches, rounds, strict=True) for t in begun], reporter)

    def _opening(self, searches: Sequence[Search], done: int) -> str:
        methods = ", ".join(search.method for search in searches)
        held, total = searches[0].config["dataset"]["valid"], self.trials * len(searches)
        words = f"{self.trials} trials of {methods}: {self.metric} on the validation split, dataset.valid={held:g}"
        spaces = [f"  {s.method}: {d}" for s in searches for d in s.space]
        return "\n".join([words + (f"; {done} of {total} are done" if done else ""), *spaces])

    def _round(self, begun: Sequence[tuple[Search, FrozenTrial]], reporter: SweepReporter) -> None:
        """Run the trials `begun` and record how each ended."""
        jobs: dict[Path, Job] = {}
        job_of: list[Job | None] = []
        for search, trial in begun:
            job = self._job(search, trial, reporter)
            job_of.append(None if job is None else jobs.setdefault(job.path.absolute(), job))
        # Those finished in an earlier search, which stopped before it recorded them, are not run again.
        outcomes = {job: Outcome(Status.FINISHED) for job in jobs.values()}
        todo = [job for job in outcomes if not is_finished(job.path)]
        outcomes |= self.request.launcher.run(todo, reporter) if todo else {}
        self._refuse_hopeless(begun, job_of, outcomes)
        outside = {job: o for job, o in outcomes.items() if o.status == Status.STOPPED}
        for (search, trial), job in zip(begun, job_of, strict=True):
            if job in outside:
                continue
            if job is None or outcomes[job].status == Status.FAILED:
                search.study.tell(trial, None)
            elif outcomes[job].status not in (Status.IN_USE, Status.INTERRUPTED, Status.NOT_STARTED):  # to be resumed
                search.study.tell(trial, score(job.path, self.metric))
        ends = {outcome.status for outcome in outcomes.values()}
        if ends & {Status.INTERRUPTED, Status.NOT_STARTED}:
            raise KeyboardInterrupt
        for job, outcome in outside.items():
            raise BnnbenchError(f"{job}: {' '.join(outcome.why.splitlines())}\nThe same command resumes this trial.")
        if Status.IN_USE in ends:
            raise InUseError("Some trials are in use by another process; run the same command again later.")

    def _job(self, search: Search, trial: FrozenTrial, reporter: SweepReporter) -> Job | None:
        """Return the run of `trial`; None if its values do not go together."""
        values = search.study.overrides(trial)
        study = QuotedString(str(search.study.file), Quote.single).with_quotes()
        origin = f"chosen={{study:{study},trial:{trial.number},metric:{self.metric},split:valid}}"
        try:
            (job,) = plan(
                [[*search.overrides, *values, "chosen=null", origin]],
                self.request.config_dirs,
                common=self.request.common,
                first=trial.number,
            )
        except ConfigError as error:
            reporter.say(f"failed trial {trial.number} of {search.method}: {str(error).splitlines()[0]}")
            return None
        return replace(job, label=f"trial {trial.number}: {' '.join(values)}")

    def _refuse_hopeless(
        self,
        begun: Sequence[tuple[Search, FrozenTrial]],
        job_of: Sequence[Job | None],
        outcomes: Mapping[Job, Outcome],
    ) -> None:
        """Raise if no trial of a method has ever made a folder: then not its values are at fault but the data, say.

        Raises:
            BnnbenchError: with the reason. The trials are kept, and the same command runs them.
        """
        for search in {id(s): s for s, _ in begun}.values():
            mine = [job for (s, _), job in zip(begun, job_of, strict=True) if s is search and job is not None]
            vain = [
                job
                for job in mine
                if outcomes[job].status == Status.FAILED and not (job.path / "manifest.json").exists()
            ]
            told = any(trial.state.is_finished() for trial in search.study.trials(self.trials))
            if vain and len(vain) == len(mine) and not told:
                raise BnnbenchError(f"method={search.method}: no trial could begin. {outcomes[vain[0]].why}")


class _Reporter(SweepReporter):
    """Progress of all searches: like that of a sweep, but what is the same in every round is printed once."""

    def __init__(self, total: int, console: Console, measure: Measure) -> None:
        super().__init__(total, console)
        self.measure = measure
        self._said: set[str] = set()

    def scores(self, job: Job) -> str:
        value = score(job.path, self.measure.name)
        return f"valid {self.measure.words} {'–' if value is None else self.measure.text(value)}"

    def say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            super().say(text)


def _start(raw: Mapping[str, Any], choices: Mapping[str, str], space: Sequence[Dimension]) -> dict[str, Any] | None:
    """Return the present values of the settings, for trial 0; None if they lie outside the space.

    Args:
        raw: the settings.
        choices: group → the name of its file, ``schedule`` → ``constant``.
        space: the search space.
    """
    values = {}
    for d in space:
        key = d.key.lstrip("+")
        node: Any = raw
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        values[d.key] = d.find(choices.get(key, node))
    return None if None in values.values() else values

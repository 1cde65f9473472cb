"""From the configuration's ``eval.metrics`` to metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bnnbench.config import plugins
from bnnbench.config.signatures import check_options
from bnnbench.errors import ConfigError
from bnnbench.tasks.base import Task
from bnnbench.tasks.measures import COLUMNS, SECONDS
from bnnbench.tasks.metrics.base import Metric

WHERE = "eval.metrics"


def make_metrics(chosen: Sequence[str | Mapping[str, Any]], task: Task) -> list[Metric]:
    """Return the metrics that are `chosen`, for predictions of `task`.

    Args:
        chosen: names, or mappings with a ``name`` and the metric's options.
        task: of the run; it need not be fitted.

    Raises:
        ConfigError: no such metric; an option that is wrong; one that needs what the task does not provide; two of one
            column.
    """
    taken = {*COLUMNS, SECONDS.name, *(measure.name for measure in task.own_measures)}
    metrics = []
    for entry in chosen:
        metric = _make(entry)
        name = metric.measure.name
        if metric.measure.of != "prediction":
            raise ConfigError(f"{WHERE}: {name} is declared as one of {metric.measure.of}; a metric rates predictions.")
        missing = [need for need in metric.needs if need not in task.provides]
        if missing:
            provided = ", ".join(task.provides) or "nothing for further metrics"
            raise ConfigError(
                f"{WHERE}: {name} needs {', '.join(missing)}; the task {task.name} provides {provided}. Leave it out."
            )
        if name in taken:
            raise ConfigError(f"{WHERE}: there is a column {name} already. Leave this one out, or name it otherwise.")
        taken.add(name)
        metrics.append(metric)
    return metrics


def _make(entry: str | Mapping[str, Any]) -> Metric:
    options = {"name": entry} if isinstance(entry, str) else dict(entry)
    name = options.pop("name", None)
    if not isinstance(name, str):
        known = ", ".join(plugins.class_names("tasks/metrics", Metric))
        raise ConfigError(f"{WHERE}={entry}: give a name, such as {known}, or {{name: …}} with options.")
    cls = plugins.find_class("tasks/metrics", name, Metric, where=WHERE)
    try:
        return cls(**check_options(cls, options, where=WHERE))
    except ValueError as error:
        raise ConfigError(f"{WHERE}: {error}") from None

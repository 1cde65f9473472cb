"""From the configuration's `task` and the dataset's ``TASK`` and ``CLASSES`` to a task."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from bnnbench.config import plugins
from bnnbench.config.signatures import check_options
from bnnbench.errors import ConfigError
from bnnbench.tasks.base import Task

AUTO = "auto"


def task_class(name: str) -> type[Task]:
    """Return the task called `name`: that of a file of ``tasks/``, or the user's by a dotted name.

    Raises:
        ConfigError: no such task.
    """
    return plugins.find_class("tasks", name, Task, where="task.name")


def make_task(
    section: Mapping[str, Any], *, dataset: str, default: str, classes: int | None, ece_bins: int = 15
) -> Task:
    """Return the task of a run, not yet fitted to any data.

    Args:
        section: ``task`` of the configuration: ``name`` and the options of the task; ``auto`` for its own choice.
        dataset: the dataset's name, for messages.
        default: the dataset's ``TASK``, for the name ``auto``.
        classes: the dataset's ``CLASSES``.
        ece_bins: ``eval.ece_bins``.

    Raises:
        ConfigError: no such task; an unknown option or value; a dataset that does not fit the task.
    """
    options = {key: value for key, value in section.items() if key != "name" and value != AUTO}
    name = section.get("name", AUTO)
    cls = task_class(str(default if name == AUTO else name))
    supplied = {"classes": classes, "ece_bins": ece_bins}
    options = check_options(cls, options, supplied=supplied, where="task")
    given = {key: value for key, value in supplied.items() if key in inspect.signature(cls).parameters}
    try:
        return cls(**options, **given)
    except ValueError as error:
        raise ConfigError(f"data: '{dataset}' has {error}.") from None

"""torch's compiler stays out of runs that compile nothing: it takes longer to load than all the rest of torch.

torch wraps the methods of its optimisers, so that `torch.compile` passes over them, and each wrapper loads the compiler
(``torch._dynamo``) at its first call. While nobody has loaded it there is nothing to be passed over: the method under
the wrapper is called. Once it is loaded the wrappers do what they do without this module.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer, optimizer

COMPILER = "torch._dynamo"
KEPT = "__dynamo_disable"  # where a wrapper of torch keeps what to call in place of the method under it
# The methods of every optimiser that torch wraps so.
WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def spare_compiler(rules: Iterable[type[Optimizer]]) -> None:
    """Let optimisers be made, stepped, saved and restored without the compiler, as long as nobody has loaded it.

    A torch whose wrappers are other ones is left as it is. Calling it again changes nothing.

    Args:
        rules: torch's own update rules, whose ``step`` has a wrapper of its own.
    """
    for name in WRAPPED:
        _spare_method(getattr(Optimizer, name))
    for rule in rules:
        _spare_step(rule)


def _spare_method(wrapper: Callable[..., Any]) -> None:
    under = getattr(wrapper, "__wrapped__", None)
    if under is None or hasattr(under, KEPT):
        return

    def direct(*args: Any, **kwargs: Any) -> Any:
        if COMPILER not in sys.modules:
            return under(*args, **kwargs)
        delattr(under, KEPT)  # so that the wrapper asks the compiler, as it would have done at its first call
        return wrapper(*args, **kwargs)

    setattr(under, KEPT, direct)


def _spare_step(rule: type[Optimizer]) -> None:
    wrapper = rule.__dict__.get("step")
    under = getattr(wrapper, "__wrapped__", None)
    if wrapper is None or under is None or getattr(wrapper, "__code__", None) is not _code_of_wrapper():
        return

    @functools.wraps(wrapper)
    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if COMPILER in sys.modules:
            return wrapper(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):  # all else that the wrapper does
            return under(self, *args, **kwargs)

    rule.step = step  # type: ignore[method-assign]


def _code_of_wrapper() -> Any:
    """Return the code that all wrappers of ``step`` share; None in a torch that has none."""
    wrap = getattr(optimizer, "_use_grad_for_differentiable", None)
    return None if wrap is None else getattr(wrap(lambda self: None), "__code__", None)

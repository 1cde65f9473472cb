"""Checks the options of a plug-in against the signature of the function that will receive them.

The signature is the schema: names, types (``Literal`` for choices) and ranges (``Annotated[float, Gt(0)]``) stand once,
next to the code that uses them. So a new sampler, model or dataset needs no entry in any central list.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bnnbench.errors import ConfigError, did_you_mean


def check_options(
    function: Callable[..., Any], given: Mapping[str, Any], *, supplied: Collection[str] = (), where: str
) -> dict[str, Any]:
    """Return `given` with its values converted to the types of `function`'s signature.

    Args:
        function: the receiver; a class stands for its constructor.
        given: option name → value, as written in the configuration.
        supplied: parameters that the caller fills in itself and that are therefore no options.
        where: prefix of the messages, e.g. ``method.update``.

    Raises:
        ConfigError: an unknown option, one missing, or a value of the wrong type or out of range.
    """
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(given)  # the function takes anything; it alone knows what is right
    allowed = {n: p for n, p in parameters.items() if n not in supplied and n != "self"}
    for key in given:
        if key not in allowed:
            raise ConfigError(f"{where}.{key}: no such option.{did_you_mean(key, allowed)}")
    missing = [n for n, p in allowed.items() if p.default is p.empty and n not in given]
    if missing:
        raise ConfigError(f"{where}: needs {', '.join(missing)}. Give it as {where}.{missing[0]}=…")
    return convert({n: (p.annotation, p.default) for n, p in allowed.items()}, given, function=function, where=where)


def convert(
    fields: Mapping[str, tuple[Any, Any]], given: Mapping[str, Any], *, function: Callable[..., Any], where: str
) -> dict[str, Any]:
    """Return the values of `given` checked against ``name → (annotation, default)``."""
    import pydantic  # imported here: `bnnbench --help` must not pay for it

    target = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError):  # annotations that exist for the type checker alone
        hints = {}
    schema = {
        name: (hints.get(name, Any), None if default is inspect.Parameter.empty else default)
        for name, (_, default) in fields.items()
        if name in given
    }
    config = pydantic.ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
    model = pydantic.create_model("Options", __config__=config, **schema)
    try:
        checked = model.model_validate(dict(given))
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(describe(problem, where) for problem in error.errors())) from None
    return {name: getattr(checked, name) for name in given}


def describe(problem: Mapping[str, Any], where: str) -> str:
    """Return one line for one of pydantic's findings: ``method.update.lr=-1: input should be greater than 0``."""
    # pydantic appends the alternatives of a union to the location; only the option's own name and list index help.
    place = [str(part) for part in problem["loc"] if isinstance(part, int) or str(part).isidentifier()]
    key = ".".join([where, *place[:1]] if where else place)
    return f"{key}={problem['input']}: {problem['msg'][:1].lower()}{problem['msg'][1:]}."

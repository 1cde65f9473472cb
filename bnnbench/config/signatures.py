"""Checks the options of a plug-in against the signature of the function that will receive them.

The signature is the schema: names, types (``Literal`` for choices) and ranges (``Annotated[float, Gt(0)]``) stand once,
next to the code that uses them. So a new sampler, model or dataset needs no entry in any central list.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
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
        where: prefix of the messages, e.g. ``method.optimizer``.

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
    import pydantic  # imported here: `bnnbench --help` must not pay for it

    try:
        checked = _schema_of(function, tuple(given)).model_validate(dict(given))
    except pydantic.ValidationError as error:
        raise ConfigError(explain(error.errors(), given, where)) from None
    values = {name: getattr(checked, name) for name in given}
    for name, value in values.items():  # pydantic reads true as 1
        if isinstance(given[name], bool) and isinstance(value, int | float) and not isinstance(value, bool):
            raise ConfigError(f"{where}.{name}={str(given[name]).lower()}: input should be a number.")
    return values


def _schema_of(function: Callable[..., Any], names: tuple[str, ...]) -> Any:
    """Return `_schema`, kept if `function` can be a key: a sweep checks every job, and pydantic is slow."""
    try:
        hash(function)
    except TypeError:  # an object that is called, of a class with == and without a hash
        return _schema(function, names)
    return _kept_schema(function, names)


def _schema(function: Callable[..., Any], names: tuple[str, ...]) -> Any:
    """Return the pydantic model of the parameters `names` of `function`."""
    import pydantic

    parameters = inspect.signature(function).parameters
    target = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError):  # annotations that exist for the type checker alone
        hints = {}
    defaults = {name: parameters[name].default for name in names}
    schema: dict[str, Any] = {
        name: (hints.get(name, Any), None if default is inspect.Parameter.empty else default)
        for name, default in defaults.items()
    }
    config = pydantic.ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
    return pydantic.create_model("Options", __config__=config, **schema)


_kept_schema = functools.lru_cache(maxsize=1000)(_schema)


def explain(problems: Iterable[Mapping[str, Any]], given: Mapping[str, Any], where: str = "") -> str:
    """Return one line for each of pydantic's findings: ``method.optimizer.lr=-1: input should be greater than 0.``

    The alternatives of a union, which pydantic finds fault with one by one, come together, and so do keys that fail
    alike, as those do that take their value from one another.
    """
    wanted: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for problem in problems:
        keys, value = _place(problem, given)
        key = ".".join([where, *keys] if where else keys).replace(".[", "[")
        wanted.setdefault((key, _written(value)), []).append(dict(problem))
    lines: dict[str, list[str]] = {}
    for (key, value), found in wanted.items():
        text = _message(found[0]) if len(found) == 1 else f"input should be {' or '.join(map(_alternative, found))}."
        lines.setdefault(text, []).append(f"{key}={value}")
    return "\n".join(f"{', '.join(who)}: {text}" for text, who in lines.items())


def _place(problem: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[list[str], Any]:
    """Return the keys that lead to a finding, list indices as ``[0]``, and the value there.

    pydantic puts the members of unions between and behind the keys; they lead nowhere in `given`.
    """
    keys: list[str] = []
    value: Any = given
    for part in problem["loc"]:
        if isinstance(value, Mapping) and part in value:
            keys.append(str(part))
        elif isinstance(value, list) and isinstance(part, int):
            keys.append(f"[{part}]")
            if part >= len(value):  # an element that is missing
                return keys, None
        else:
            continue
        value = value[part]
    if problem["type"] == "union_tag_invalid":
        tag = problem["ctx"]["discriminator"].strip("'")
        return [*keys, tag], problem["ctx"]["tag"]
    return keys, value


def _message(problem: Mapping[str, Any]) -> str:
    text, context = problem["msg"], problem.get("ctx", {})
    if problem["type"] == "union_tag_invalid":
        text = f"input should be {context['expected_tags']}"
    allowed = re.findall(r"'([^']*)'", context.get("expected", context.get("expected_tags", "")))
    hint = did_you_mean(str(context.get("tag", problem["input"])), allowed).partition(" Allowed:")[0]  # text has them
    text = text.partition(", unable to")[0]  # to parse, says pydantic
    return f"{text[:1].lower()}{text[1:]}.{hint}"


def _alternative(problem: Mapping[str, Any]) -> str:
    """Return what one member of a union asks for: ``a number >= 0``, ``'1/N'``."""
    kind, context = problem["type"], problem.get("ctx", {})
    for name, sign, bound in (
        ("greater_than_equal", ">=", "ge"),
        ("greater_than", ">", "gt"),
        ("less_than_equal", "<=", "le"),
        ("less_than", "<", "lt"),
    ):
        if kind == name:
            return f"a number {sign} {context[bound]:g}"
    if kind == "literal_error":
        return str(context["expected"])
    for start, word in (("int", "a whole number"), ("float", "a number"), ("finite", "a finite number")):
        if kind.startswith(start):
            return word
    return _message(problem).removeprefix("input should be ").rstrip(".")


def _written(value: Any) -> str:
    """Return `value` as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)

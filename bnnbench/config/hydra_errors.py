"""Hydra's and OmegaConf's errors in the terms of this command line: what was given, what is allowed, how to fix it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bnnbench.config.plugins import names
from bnnbench.errors import ConfigError, did_you_mean

GROUPS = ("dataset", "experiment", "method", "model", "schedule")
# Their options are more than what their yaml says.
PLUGINS = ("dataset", "method.layers", "method.optimizer", "model", "schedule")


def translate(error: Exception) -> Exception:
    """Return a ConfigError in place of one of Hydra's or OmegaConf's; any other error as it is."""
    import yaml
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, given = str(error.missing_cfg_file).rpartition("/")
        if group == "dataset" and given in names("data"):  # one of several described by a single file
            return ConfigError(f"dataset={given}: choose it by dataset=uci dataset.name={given}.")
        return ConfigError(f"{group}={given}: no such choice.{did_you_mean(given, error.options)}")
    if isinstance(error, OverrideParseException):
        return ConfigError(
            f"{error.override}: not of the form key=value ({error.message.splitlines()[0]}).\n"
            "A value with one of =,:[]{}()'\" or blanks goes in quotes, for the shell too: 'key=\"a=b\"'."
        )
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        return ConfigError(
            f"{', '.join(GROUPS)} take the name of a choice, not null or a number: see `bnnbench ls`. "
            "For none, leave the word out."
        )
    if isinstance(error, ValueError) and str(error).startswith("Exceeds the limit"):
        return ConfigError("a number of more than 4300 digits. Write it with an exponent: 1e5000.")
    flags = ("The --resolve flag", "Expecting one subcommand", "Invalid plugin")  # Hydra's, of its own command line
    if isinstance(error, ValueError | RuntimeError) and str(error).startswith(flags):
        return ConfigError(f"{str(error).splitlines()[0].rstrip('.')}. `bnnbench run --help` lists the flags.")
    if isinstance(error, ValueError) and str(error).startswith("Only one of --run"):
        return ConfigError("-m goes with none of --run, --cfg and --info: they are for one run.")
    if isinstance(error, yaml.YAMLError | UnicodeDecodeError | RecursionError):
        return ConfigError(f"{_file_read_in(error) or 'a yaml file'}: {_fault(error)}")
    if isinstance(error, ValueError) and str(error).startswith(("Invalid defaults list", "range() arg 3")):
        return ConfigError(f"{str(error).rstrip('.')}.")
    if isinstance(error, OSError) and str(error).startswith("Invalid loaded object type"):
        return ConfigError(f"{_file_read_in(error) or 'a yaml file'}: it holds no keys with values.")
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, OmegaConfBaseException) and "is not in struct" in str(cause):
        allowed = [str(k) for k in cause.parent_node] if isinstance(cause.parent_node, Mapping) else []
        return _unknown_key(str(cause.full_key or cause.key), allowed, _keys(cause.parent_node))
    if isinstance(error, HydraException | OmegaConfBaseException):
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and "https://" not in line]
        if cause is not error:
            lines += str(cause).splitlines()[:1]
        text = " ".join(lines[:2]) if lines else type(error).__name__
        if text.startswith("Ambiguous value for argument '"):
            given = text.split("'")[1]
            return ConfigError(f"{given}: several values make a sweep, with -m; a list is written [a,b].")
        if text.startswith("Could not override '"):  # a group of the defaults list, e.g. `methods@here=…`
            given = text.split("'")[1]
            return ConfigError(f"{given or '='}: no such group.{did_you_mean(given, GROUPS)}")
        if text.startswith("Multiple values for "):  # `+experiment=…`, as other applications want it
            given = text.removeprefix("Multiple values for ").partition(".")[0]
            return ConfigError(f"+{given}=…: it has a value already; leave out the plus: {given}=…")
        return ConfigError(text)
    return error


def _fault(error: Exception) -> str:
    """Return what is wrong with the content of a file, in a line."""
    import yaml

    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text. Save it as UTF-8."
    if isinstance(error, RecursionError):
        return "its defaults lead back to itself, or it is nested too deeply."
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    line = f"line {mark.line + 1}: " if isinstance(mark, yaml.Mark) else ""
    return f"{line}not valid YAML: {problem}."


def _file_read_in(error: Exception) -> str | None:
    """Return the yaml file that was being read when `error` was raised: Hydra's own message does not name it."""
    found: Any = None
    trace = error.__traceback__
    while trace is not None:
        parent = trace.tb_frame.f_locals.get("parent")  # of its tree of defaults
        if parent is not None and hasattr(parent, "get_config_path"):
            found = f"{parent.get_config_path()}.yaml"
        found = trace.tb_frame.f_locals.get("full_path", found)  # of its source of files
        trace = trace.tb_next
    return None if found is None else str(found)


def _keys(node: Any) -> list[str]:
    """Return all dotted keys of the configuration that `node` belongs to, Hydra's own left out."""
    from omegaconf import OmegaConf

    def walk(held: Any, place: str) -> Iterator[str]:
        for key, value in held.items():
            path = f"{place}.{key}" if place else str(key)
            yield path
            if isinstance(value, dict):
                yield from walk(value, path)

    root = node._get_root() if node is not None else None
    whole = OmegaConf.to_container(root) if OmegaConf.is_dict(root) else {}
    return [k for k in walk(whole, "") if not k.startswith("hydra")]


def _unknown_key(key: str, allowed: list[str], known: Sequence[str] = ()) -> ConfigError:
    """Return the error for a `key` that the configuration does not have, where its parent has the `allowed` ones."""
    parent, _, last = key.rpartition(".")
    if key == "method.optimizer.weight_decay":
        return ConfigError(f"{key}: the prior sets it, 1/(N s²). Take prior.variance=… instead.")
    hint = did_you_mean(last, {*allowed, *(() if parent else GROUPS)})
    elsewhere = [k for k in known if k.rpartition(".")[2] == last]  # `lr=` for `method.optimizer.lr=`
    # A dataset's budget holds what other keys take where nobody chooses; it is those that one sets.
    elsewhere = [k for k in elsewhere if not k.startswith("dataset.budget.")] or elsewhere
    if elsewhere:
        hint = f" Did you mean {' or '.join(elsewhere[:3])}?"
    more = f"\nAn option that its yaml leaves out is added with a plus: +{key}=…" if parent in PLUGINS else ""
    return ConfigError(f"{key}: no such key.{hint}{more}")

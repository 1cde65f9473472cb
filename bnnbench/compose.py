"""From a command line to a resolved configuration: Typer hands over to Hydra, whose errors are put into our words."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bnnbench.errors import BnnbenchError, ConfigError, did_you_mean
from bnnbench.plugins import names

GROUPS = ("dataset", "experiment", "method", "model", "schedule")
# Their options are more than what their yaml says.
PLUGINS = ("dataset", "method.layers", "method.update", "model", "schedule")

_HELP = """bnnbench run [FLAGS] [OVERRIDES]: one run, or with -m one for each combination of the values given

  bnnbench run method=sgld dataset=mnist method.update.lr=0.1
  bnnbench run -m method=sgld,psgld seed=0,1,2
  bnnbench run -m -j 4 seed=range(0,20)

-m checks all runs before the first starts and runs as many at a time as there are GPUs, or else cores; -j 4 (--jobs 4)
says how many; hydra/launcher=slurm or ray runs them on a cluster. --force runs anew over a finished run; --cfg job
prints the configuration; --config-dir adds a folder with your own method/, model/, dataset/ and schedule/ files; --info
and --hydra-help say more. `bnnbench ls` describes the choices.

Exit code: 0 done; 1 an error; 75 another process is writing the run (of a sweep: some runs, and none failed);
130 interrupted. The same command again does what is left.
"""


def conf_dir() -> Path:
    """Return the folder of the configuration: inside an installed package, or at the top of a source checkout."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "conf", here.parent / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise BnnbenchError(f"conf/config.yaml is neither in {here} nor beside it: is the installation complete?")


def choices(group: str) -> list[str]:
    """Return the names of the yaml files of `group` that ship with the package."""
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


def run_hydra(arguments: Sequence[str], task: Callable[[dict[str, Any]], Any], name: str = "bnnbench run") -> None:
    """Compose the configuration from `arguments` by Hydra's grammar and call `task` on it, resolved, for every job.

    ``-m`` and every other flag of Hydra (``--cfg job``, ``--info``, ``--config-dir``, ``--help``) works as in any
    Hydra application. A sweep goes on after a job that fails.

    Raises:
        ConfigError: what Hydra refused, in one or two lines with the nearest valid names.
        BnnbenchError: jobs of a sweep failed; each has said why.
        Exception: whatever `task` raised, of a single job.
    """
    import hydra
    from omegaconf import DictConfig, OmegaConf

    from bnnbench.sweep import register

    register()
    argv = _ordered(arguments)
    jobs = 0
    failures: list[tuple[bool, Exception]] = []  # of a sweep or not, and what happened

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    def main(cfg: DictConfig) -> None:
        nonlocal jobs
        jobs += 1
        overrides, sweep, here = _job()
        try:
            resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
            assert isinstance(resolved, dict)
            task({str(key): value for key, value in resolved.items()})
        except Exception as error:
            mine = translate(error)
            if sweep:
                _tell(overrides, mine)
            if not here:  # a launcher's worker: only an exception tells the launcher
                raise mine from error
            # Raised later: Hydra would add a line of its own, and of a sweep show the first failure alone.
            failures.append((sweep, mine))

    before, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [name, *argv]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and leaving: we print
    try:
        main()
    except Exception as error:
        if full_error == "1":
            raise
        raise translate(error) from error
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
    for sweep, error in failures:
        if sweep:
            raise BnnbenchError(f"{len(failures)} of {jobs} runs failed, see above. Finished ones are not run again.")
        raise error


def _ordered(arguments: Sequence[str]) -> list[str]:
    """Return overrides, then flags: with `seed=3 -m method=sgld,psgld` Hydra's parser would stop at the second."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    flags = [word for word in ("--force", "--jobs", *parser._option_string_actions) if word.startswith("--")]

    def refuse(message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split()
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such flag.{did_you_mean(unknown[0], flags)}")
        raise ConfigError(f"{message}. Flags: {', '.join(flags)}.")

    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    ours.add_argument("-j", "--jobs")
    parser.error = ours.error = refuse  # type: ignore[method-assign]  # argparse's own is a dozen lines of usage
    mine, rest = ours.parse_known_args(list(arguments))
    parsed = parser.parse_intermixed_args(rest)
    for override in parsed.overrides:
        rest.remove(override)
    if mine.jobs is not None:
        parsed.overrides.append(f"hydra.launcher.n_jobs={mine.jobs}")
    texts = {"header": _HELP, "footer": "Powered by Hydra (https://hydra.cc)."}
    shown = [f"hydra.help.{part}='{text}'" for part, text in texts.items()] if parsed.help else []
    return [*parsed.overrides, *shown, *rest]


def _job() -> tuple[str, bool, bool]:
    """Return this job's overrides, whether it belongs to a sweep, and whether it runs in the sweep's own process."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    config = HydraConfig.get()
    sweep = config.mode == RunMode.MULTIRUN
    return " ".join(config.overrides.task), sweep, not sweep or config.runtime.choices["hydra/launcher"] == "basic"


def _tell(overrides: str, error: Exception) -> None:
    if not isinstance(error, BnnbenchError | OSError):
        traceback.print_exception(error)
    print(f"error: {overrides}: {error}", file=sys.stderr, flush=True)


def translate(error: Exception) -> Exception:
    """Return a ConfigError in place of one of Hydra's or OmegaConf's; any other error as it is."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, given = str(error.missing_cfg_file).rpartition("/")
        if group == "dataset" and given in names("data"):  # one of several that a single file holds
            return ConfigError(f"dataset={given}: it is chosen by dataset=uci dataset.name={given}.")
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
    if isinstance(error, ValueError) and str(error).startswith("Only one of --run"):
        return ConfigError("-m goes with none of --run, --cfg, --info and --experimental-rerun: they are for one run.")
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
    if key == "method.update.weight_decay":
        return ConfigError(f"{key}: the prior sets it, 1/(N s²). Take prior.variance=… instead.")
    hint = did_you_mean(last, {*allowed, *(() if parent else GROUPS)})
    elsewhere = [k for k in known if k.rpartition(".")[2] == last]  # `lr=` for `method.update.lr=`
    if elsewhere:
        hint = f" Did you mean {' or '.join(elsewhere[:3])}?"
    more = f"\nAn option that its yaml leaves out is added with a plus: +{key}=…" if parent in PLUGINS else ""
    return ConfigError(f"{key}: no such key.{hint}{more}")


def complete(words: Sequence[str]) -> list[str]:
    """Return what the last of `words` may become: groups, choices and keys, from Hydra's own completion.

    The words before it count: after ``method=sgd``, ``method.update.`` has the keys of sgd.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.plugins.completion_plugin import CompletionPlugin, DefaultCompletionPlugin

    plugin: CompletionPlugin = DefaultCompletionPlugin(ConfigLoaderImpl(create_config_search_path(str(conf_dir()))))
    *before, word = words
    settled = [w if "[" in w else w.partition(",")[0] for w in before if "=" in w]  # of a sweep, its first value
    for kept in (settled, []):  # a word before that is wrong must not stop completion: it is then done without them
        try:
            return plugin._query(config_name="config", line=" ".join([*kept, word]))
        except (Exception, SystemExit):
            continue
    return []


def words_from_shell(environment: Mapping[str, str], incomplete: str) -> tuple[list[str], str]:
    """Return the overrides typed so far, the last one unfinished, and the part of that one which the shell replaces.

    bash cuts words at '=': ``method=ps`` arrives as ``method``, ``=``, ``ps``, and only ``ps`` is replaced.
    """
    if "COMP_WORDS" not in environment:  # zsh and fish leave words whole
        line = environment.get("_TYPER_COMPLETE_ARGS", "").split()
        before = line[: -1 if incomplete else None]
        return [*before[2:], incomplete], incomplete
    given = environment["COMP_WORDS"].split("\n")  # Typer's function for bash joins them so
    words = [""]
    tail = ""
    for word in given[2 : int(environment.get("COMP_CWORD", len(given) - 1)) + 1]:
        if word == "=":
            words[-1] += word
            tail = ""
        elif words[-1].endswith("="):
            words[-1] += word
            tail = word
        else:
            words.append(word)
            tail = word
    return words[1:] or [""], tail

"""The command line as an application of Hydra: its flags, ``-m``, ``--help``, ``--cfg`` and the like."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from bnnbench.errors import BnnbenchError, ConfigError, did_you_mean

if TYPE_CHECKING:
    from bnnbench.sweep.hydra_plugin import Request

_HELP = """bnnbench run [FLAGS] [OVERRIDES]: one run, or with -m one for each combination of the values given

  bnnbench run method=sgld dataset=mnist method.optimizer.lr=0.1
  bnnbench run -m method=sgld,psgld seed=0,1,2
  bnnbench run -m -j 4 seed=range(0,20)

-m checks all runs before the first starts and runs as many at a time as there are GPUs, or else cores; -j 4 (--jobs 4)
says how many; hydra/launcher=slurm or ray runs them on a cluster. --force runs anew over a finished run; --cfg job
prints the configuration; --config-dir adds a folder with your own method/, model/, dataset/ and schedule/ files; --info
and --hydra-help say more. `bnnbench ls` describes the choices.

Exit code: 0 done; 1 an error; 75 another process is writing the run (of a sweep: some runs, and none failed);
130 interrupted. The same command again does what is left.
"""

SWEEPERS = ("bnnbench", "basic")
LONGEST = 2000  # values in a word: Hydra's parser takes time with their square
RERUN = "--experimental-rerun"  # of Hydra: it unpickles a file


@dataclass(frozen=True)
class CommandLine:
    """The words after ``bnnbench run``.

    Attributes:
        overrides: words of the form key=value.
        flags: everything else, as typed.
        config_dirs: the folder of ``--config-dir``, if any.
        plain: whether this is a single run that needs only Hydra's grammar.
    """

    overrides: list[str]
    flags: list[str]
    config_dirs: list[str]
    plain: bool


def read_words(arguments: Sequence[str]) -> CommandLine:
    """Separate overrides from flags, wherever they stand: Hydra's own parser would stop at the second override.

    Raises:
        ConfigError: an unknown flag, or one without its value.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    flags = [
        word
        for word in ("--force", "--jobs", *parser._option_string_actions)
        if word.startswith("--") and word != RERUN
    ]

    def refuse(message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split()
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such flag.{did_you_mean(unknown[0], flags)}")
        raise ConfigError(f"{message}. Flags: {', '.join(flags)}.")

    arguments = [_as_typed(word) for word in arguments]
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    ours.add_argument("-j", "--jobs")
    parser.error = ours.error = refuse  # type: ignore[method-assign]  # argparse's own is a dozen lines of usage
    mine, rest = ours.parse_known_args(list(arguments))
    parsed = parser.parse_intermixed_args(rest)
    if parsed.experimental_rerun is not None:
        raise ConfigError(f"{RERUN}: no flag of bnnbench: it runs code from a file. Give the overrides themselves.")
    for override in parsed.overrides:
        rest.remove(override)
    _check(parsed.overrides)
    if mine.jobs is not None:
        parsed.overrides.append(f"hydra.launcher.n_jobs={mine.jobs}")
    about_hydra = any(re.match(r"[+~]*hydra[./=]", override) for override in parsed.overrides)
    if parsed.help:
        texts = {"header": _HELP, "footer": "Powered by Hydra (https://hydra.cc)."}
        parsed.overrides += [f"hydra.help.{part}='{text}'" for part, text in texts.items()]
    config_dir, parsed.config_dir, parsed.run = parsed.config_dir, None, False
    others = any(value for name, value in vars(parsed).items() if name != "overrides")
    return CommandLine(parsed.overrides, rest, [config_dir] if config_dir else [], not (others or about_hydra))


def _check(overrides: Sequence[str]) -> None:
    """Refuse what Hydra would take amiss.

    A key given twice, lists so long that it would read them for minutes, and another program's sweeper, which would
    wait for a score that no run returns.
    """
    given: dict[str, str] = {}
    for override in overrides:
        if (count := override.count(",") + 1) > LONGEST:
            raise ConfigError(
                f"{override[:40]}…: {count} values; at most {LONGEST} are read from a word. "
                f"Give range(0,{count}), or a yaml file by --config-dir."
            )
        key, equals, value = override.lstrip("+").partition("=")
        if not equals or key.startswith("~"):
            continue
        if key in given:
            raise ConfigError(f"{given[key]} {override}: '{key}' is given twice. Give it once.")
        given[key] = override
        if key == "hydra/sweeper" and value not in SWEEPERS:
            raise ConfigError(
                f"{override}: no run returns a score to another program's sweeper. `bnnbench tune` searches; "
                "or leave hydra/sweeper out."
            )


def _as_typed(word: str) -> str:
    """Return a word of the command line as UTF-8, whatever the locale has made of it.

    Raises:
        ConfigError: it is none.
    """
    if not any("\udc80" <= letter <= "\udcff" for letter in word):
        return word
    try:
        return os.fsencode(word).decode("utf-8")
    except UnicodeError:
        raise ConfigError(f"{word.encode(errors='backslashreplace').decode()}: not UTF-8. Type it anew.") from None


def run_hydra(
    words: CommandLine,
    task: Callable[[dict[str, Any]], Any],
    sweep: Callable[[Request], None] | None = None,
    name: str = "bnnbench run",
) -> None:
    """Compose the configuration of `words` and call `task` on it, resolved; with ``-m`` hand them to `sweep`.

    Every flag of Hydra (``--cfg job``, ``--info``, ``--config-dir``, ``--help``) works as in any Hydra application.
    A sweep goes on after a job that fails.

    Args:
        words: the command line.
        task: what to do with a resolved configuration.
        sweep: what to do with several values; by default what ``bnnbench run -m`` does.
        name: of the command, for its help.

    Raises:
        ConfigError: what Hydra rejected, in one or two lines with the nearest valid names.
        BnnbenchError: jobs of a sweep failed; each has said why.
        Exception: whatever `task` raised, of a single job.
    """
    import hydra
    from omegaconf import DictConfig, OmegaConf

    from bnnbench.config.composition import conf_dir
    from bnnbench.config.hydra_errors import translate
    from bnnbench.sweep.hydra_plugin import register, run_sweep, sweeping_by

    register()
    jobs = 0
    failures: list[tuple[bool, Exception]] = []  # of a sweep or not, and what happened

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    def main(cfg: DictConfig) -> None:
        nonlocal jobs
        jobs += 1
        overrides, swept, here = _job()
        try:
            resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
            assert isinstance(resolved, dict)
            task({str(key): value for key, value in resolved.items()})
        except Exception as error:
            translated = translate(error)
            if swept:
                _tell(overrides, translated)
            if not here:  # a launcher's worker: only an exception tells the launcher
                raise translated from error
            # Raised later: Hydra would add a line of its own, and show only the first failure of a sweep.
            failures.append((swept, translated))

    before, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [name, *words.overrides, *words.flags]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing and exiting: we print
    try:
        with sweeping_by(sweep or run_sweep):
            main()
    except Exception as error:
        if full_error == "1":
            raise
        raise translate(error) from error
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
    for swept, failure in failures:
        if swept:
            raise BnnbenchError(f"{len(failures)} of {jobs} runs failed, see above. Finished ones are not run again.")
        raise failure


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

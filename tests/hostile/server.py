"""Runs cases: a process that has loaded the package forks a child for each, as mortal as a command of its own.

    python -m hostile.server READY       # then an id per line on stdin, and an outcome as JSON per line on stdout

READY is a folder for the results that are trained once and copied for every case.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch

import contextlib
import json
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from hostile.case import Case, all_cases, written_out
from hostile.place import QUICK, READY, Place

LIMIT = 60.0  # seconds
LINES = 6  # of a message
MEMORY = 16 * 2**30  # bytes of addresses: a case must not take the machine with it


def load() -> None:
    """Import what the verbs import, so that no child waits for it."""
    import matplotlib.figure
    import optuna
    import pandas
    import torch._dynamo  # noqa: F401  # the first optimiser needs it

    import bnnbench.cli.app
    import bnnbench.deploy.export
    import bnnbench.deploy.sparsity_curve
    import bnnbench.experiment.run

    del matplotlib, optuna, pandas, bnnbench


def make_ready(folder: Path) -> None:
    """Train the runs that cases find, unless they lie there."""
    if not (folder / "results").exists():
        for words in READY.values():
            case = Case("ready", ("run", *QUICK, *words, f"results={folder / 'making'}"), refused=False)
            code, out, err, _ = execute(case, Place(folder))
            assert code == 0, out + err
        (folder / "making").rename(folder / "results")


def outcome(case: Case, ready: Path) -> dict[str, Any]:
    """Run a case in a folder of its own and judge it."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as temporary:
        place = Place(Path(temporary).resolve())
        shutil.copytree(ready / "results", place.results)
        code, out, err, seconds = execute(case, place)
        verdict, why = judge(case, place, code, out, err)
        return {
            "id": case.id,
            "verb": case.verb,
            "argv": [written_out(word, place) for word in case.argv],
            "code": code,
            "verdict": verdict,
            "why": why,
            "seconds": round(seconds, 2),
            "out": out[-3000:],
            "err": err[-6000:],
        }


def judge(case: Case, place: Place, code: int | None, out: str, err: str) -> tuple[str, str]:
    """Return one of `hostile.report.VERDICTS`, and why."""
    if code == SETUP:
        return "broken case", err
    if code is None:
        return "hang", f"longer than {LIMIT:g} s"
    if code < 0:
        return "traceback", f"died of signal {-code}"
    if "Traceback (most recent call last)" in out + err:
        return "traceback", ""
    words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", f"{err} {out}").split())
    if case.refused:
        message = " ".join(re.sub(r"[│╭╮╰╯─]", " ", err).split())
        lines = [line for line in err.splitlines() if line.strip(" │╭╮╰╯─") and not line.startswith("note: ")]
        if code == 0:
            return "wrong acceptance", "exit 0"
        if not re.search(case.says, message):
            return "poor message", f"not of the form {case.says}"
        if len(lines) > LINES:
            return "poor message", f"{len(lines)} lines"
    elif code:
        return "wrong refusal", f"exit {code}"
    elif not re.search(case.says, words):
        return "wrong acceptance", f"the output does not say {case.says}"
    try:
        if case.check is not None:
            case.check(place, out, err)
    except Exception as error:
        return "wrong acceptance", f"check: {type(error).__name__}: {error} {traceback.format_exc().splitlines()[-2]}"
    return "ok", ""


class Pipe:
    """A pipe that is read as it fills."""

    def __enter__(self) -> Pipe:
        self._read_end, self.write_end = os.pipe()
        self._parts: list[bytes] = []
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._read_end)

    def listen(self) -> None:
        """Start to read; the writing end is left to the child."""
        os.close(self.write_end)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def text(self) -> str:
        """Return all that was written, once nobody writes any more."""
        self._reader.join(10)
        return b"".join(self._parts).decode("utf-8", "replace")

    def _read(self) -> None:
        while part := os.read(self._read_end, 65536):
            self._parts.append(part)


SETUP = 251  # exit code of a case whose own setup failed


def execute(case: Case, place: Place) -> tuple[int | None, str, str, float]:
    """Return exit code (minus the signal, None after `LIMIT`), output, errors and seconds of a case."""
    with Pipe() as out, Pipe() as err:  # no files: their length may be limited, too
        begun = time.monotonic()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _be_the_command(case, place, out.write_end, err.write_end)
        for pipe in (out, err):
            pipe.listen()
        code, limit = None, begun + LIMIT * (1 if case.name != "ready" else 5)
        while code is None and time.monotonic() < limit:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.01)
        seconds = time.monotonic() - begun
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # it and its workers
        if code is None:
            os.waitpid(child, 0)
        return code, out.text(), err.text(), seconds


def _be_the_command(case: Case, place: Place, out: int, err: int) -> NoReturn:
    code = SETUP
    try:
        os.setsid()
        os.dup2(err, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
        os.chdir(place.tmp)
        os.environ |= {"COLUMNS": "200", "BNNBENCH_DATA": os.environ.get("BNNBENCH_DATA", str(place.tmp / "data"))}
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.dup2(out, 1)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        limit = None if case.setup is None else case.setup(place)
        argv, cwd = [written_out(word, place) for word in case.argv], written_out(case.cwd, place)
        for key, value in case.env.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = written_out(value, place)
        if cwd != str(place.tmp):
            os.chdir(cwd)
        if case.stdout == "closed":
            os.close(1)
        elif case.stdout:
            os.dup2(os.open(case.stdout, os.O_WRONLY), 1)
        sys.stdout.flush()
        if callable(limit):
            limit()
        if case.fresh:  # -P: the folder is not the first place to import from, as for the installed command
            os.execve(sys.executable, [sys.executable, "-P", "-m", "bnnbench", *argv], os.environ)
        if case.stdout == "closed":
            sys.stdout = None
        code = _call(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _call(argv: list[str]) -> int:
    from bnnbench.cli.app import app

    sys.argv = ["bnnbench", *argv]
    try:
        app(argv)
    except SystemExit as left:
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    ready = Path(sys.argv[1])
    load()
    make_ready(ready)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(outcome(all_cases()[json.loads(line)], ready)), flush=True)


if __name__ == "__main__":
    main()

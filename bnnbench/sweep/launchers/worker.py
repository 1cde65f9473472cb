"""The work of a worker process: one run after another, quietly, until it is asked to stop.

The request is SIGTERM, not SIGINT: a Ctrl-C in the terminal reaches the workers too, but its meaning is for the sweep
to decide, so they ignore it.
"""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any

from bnnbench.sweep.jobs import Outcome, Status

LEAVE_WITHIN = 10.0  # seconds for a run to stop when the sweep's process is gone

_idle = threading.Event()
_idle.set()
_asked = False


def prepare(environment: Mapping[str, str], log: str) -> None:
    """Set this worker process up: signals, variables that torch reads when it is imported, output into `log`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ask)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked until it is ignored
    os.environ.update(environment)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    faulthandler.enable()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    importlib.import_module("bnnbench.experiment.run")  # and torch: once for all runs of this worker


def work(raw: Mapping[str, Any]) -> Outcome:
    """Run the resolved configuration `raw` in a worker that is `prepare`d; the log starts anew with each run."""
    os.ftruncate(1, 0)
    if _asked:
        return Outcome(Status.NOT_STARTED)
    try:
        return execute(raw)
    except SystemExit as error:  # user code must not end the worker
        outcome = Outcome(Status.FAILED, f"SystemExit: {error}")
        keep_failure(raw, outcome.why, traceback.format_exc())
        return outcome


def execute(raw: Mapping[str, Any]) -> Outcome:
    """Run the resolved configuration `raw` and return how it ended. No exception, which might not pickle.

    Raises:
        SystemExit: from the run; clusters stop processes this way.
    """
    from bnnbench.errors import BnnbenchError, InUseError, StorageError
    from bnnbench.experiment.run import run
    from bnnbench.store.folder import is_finished, run_path

    path, anew = run_path(raw), bool(raw["force"])
    if is_finished(path) and not anew:  # by another process, since the sweep was planned
        return Outcome(Status.SKIPPED)
    status = Status.RESUMED if not anew and (path / "checkpoint.pt").is_file() else Status.FINISHED
    why, began = "", time.perf_counter()
    try:
        _idle.clear()
        run(raw)
        _idle.set()
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    except InUseError as error:
        status, why = Status.IN_USE, str(error)
    except StorageError as error:
        status, why = Status.STOPPED, str(error)
    except BnnbenchError as error:
        status, why = Status.FAILED, str(error)
    except Exception as error:
        status, why = Status.FAILED, f"{type(error).__name__}: {error}"
        keep_failure(raw, why, traceback.format_exc())
    finally:
        _idle.set()
    _free_gpu()
    return Outcome(status, why, time.perf_counter() - began)


def keep_failure(raw: Mapping[str, Any], why: str, trace: str = "") -> None:
    """Write error.txt and the status of a run that did not do so itself, unless another process has the folder."""
    from bnnbench.errors import InUseError
    from bnnbench.store.folder import RunFolder

    try:
        folder = RunFolder(raw)
    except (InUseError, OSError):
        return
    try:
        if not (folder.path / "config.yaml").exists():  # an early death: else no run's folder
            folder.resume(anew=True)
        kept = folder.path / "error.txt"
        if not (kept.exists() and kept.read_text("utf-8").startswith(why)):
            folder.fail(why, trace)
    except OSError:  # a full disk; the sweep reports the failure all the same
        pass
    finally:
        folder.close()


def ask(*_: Any) -> None:
    """Handle SIGTERM: stop the run as a Ctrl-C would, once; between two runs, remember the request."""
    global _asked
    first, _asked = not _asked, True
    if first and not _idle.is_set():
        raise KeyboardInterrupt


def _leave_with_parent() -> None:
    """Stop when the sweep's process is gone, for whatever reason: nobody would collect the result."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)  # for a run that is about to begin
    _idle.wait(LEAVE_WITHIN)
    os._exit(1)


def _free_gpu() -> None:
    """Release cached memory: another worker may share the GPU."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()

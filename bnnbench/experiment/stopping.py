"""Ctrl-C and SIGTERM, heard between two steps, so that a run can keep what it has done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # of a user; of scancel, docker stop, a preempted machine


class Stop:
    """Whether the process was asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def heard() -> Iterator[Stop]:
    """Yield a `Stop` that the first signal of a ``with`` block sets; the second raises KeyboardInterrupt at once.

    Signals that are ignored stay ignored; handlers from before are called too. Outside of the main thread Python can
    set no handler, and everything stays as it is.
    """
    stop = Stop()
    before: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        if callable(before[number]) and before[number] is not signal.default_int_handler:
            with suppress(KeyboardInterrupt):  # which is what the flag says
                before[number](number, frame)
        if number == signal.SIGINT and os.isatty(2):
            os.write(2, b"stopping after this step (Ctrl-C once more: at once)\n")

    try:
        if threading.current_thread() is threading.main_thread():
            for number in map(int, SIGNALS):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, handle)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

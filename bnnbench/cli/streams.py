"""Standard output that is closed, full or read no more: none of it is the fault of what is being recorded."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def open_closed() -> None:
    """Give closed standard streams (of cron, daemons, ``>&-``) the null device, which whatever writes can write to."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)  # a file opened since has taken the number: leave it alone
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process


def replace_unknown() -> None:
    """Print a ? for what the locale cannot: better than no answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def silence(stream: TextIO) -> None:
    """Let `stream` go to the null device, or Python complains again as it leaves."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

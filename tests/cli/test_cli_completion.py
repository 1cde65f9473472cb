"""TAB: what the shells' generated functions call, with the words as bash and zsh hand them over."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bnnbench.cli import app as cli
from bnnbench.config import composition as compose

METHODS_WITH_PS = ["psgld"]
CASES = [  # words as bash cuts them (at '='), the answers
    (["r"], ["run"]),
    (["run", "meth"], ["method.", "method="]),
    (["run", "method", "=", "ps"], METHODS_WITH_PS),
    (["run", "method.opt"], ["method.optimizer."]),
    (["run", "method.optimizer.l"], ["method.optimizer.lambda_=", "method.optimizer.lr="]),
    (["run", "method", "=", "sgd", "method.optimizer.m"], ["method.optimizer.momentum="]),
    (["run", "-m", "method", "=", "sgd,sgld", "method.optimizer.m"], ["method.optimizer.momentum="]),
    (["run", "method", "=", "tpyo", "sche"], ["schedule="]),
    (["run", "dataset", "=", "dig"], ["digits"]),
    (["run", "dat"], ["data.", "dataset.", "dataset="]),
    (["run", "no.such.key"], []),
    (["ls", "mo"], ["models"]),
    (["plot", "--metric", "n"], ["nll"]),
    (["data", "fe"], ["fetch"]),
    (["data", "fetch", "wi"], ["wine"]),
]


def ask(shell: str, **environment: str) -> str:
    wanted = {"_BNNBENCH_COMPLETE": f"complete_{shell}", **environment}
    return CliRunner().invoke(cli.app, prog_name="bnnbench", env=wanted).stdout


@pytest.mark.parametrize(("words", "answers"), CASES)
def test_bash(words, answers):
    given = "\n".join(["bnnbench", *words])
    assert sorted(ask("bash", COMP_WORDS=given, COMP_CWORD=str(len(words))).split()) == answers


@pytest.mark.parametrize(("words", "answers"), CASES[::3])  # only the wrapping differs
def test_zsh(words, answers):
    line = " ".join(["bnnbench", *words]).replace(" = ", "=")
    before = line.split()[-1].rpartition("=")[0] + "=" if "=" in words[-2:] else ""
    reply = ask("zsh", _TYPER_COMPLETE_ARGS=line)
    found = re.findall(r'(?:\(\(|\n)"([^"]*)"', reply)  # each line: "value" or "value":"help"
    assert found == [before + answer for answer in answers]
    assert found or reply == "_files\n"


def test_bash_after_the_equals_sign_gives_the_choices_alone():
    reply = ask("bash", COMP_WORDS="bnnbench\nrun\nmethod\n=", COMP_CWORD="3")
    assert reply.split() == compose.choices("method")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_function_that_bash_sources(tmp_path):
    """The script of `bnnbench --show-completion bash`, called as readline calls it."""
    command = tmp_path / "bnnbench"
    command.write_text(f"#!{sys.executable}\nfrom bnnbench.cli.app import app\napp(prog_name='bnnbench')\n")
    command.chmod(0o755)
    script = """
    eval "$(_BNNBENCH_COMPLETE=source_bash bnnbench)"
    COMP_WORDS=(bnnbench run method = ps) COMP_CWORD=4
    _bnnbench_completion bnnbench
    echo "${COMPREPLY[*]}"
    """
    source = str(Path(cli.__file__).parents[1])
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": source}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == METHODS_WITH_PS


def test_completion_is_fast_and_loads_no_torch():
    code = (
        "import sys, time; start = time.process_time()\n"
        "from bnnbench.cli.completion import complete\n"
        "assert complete(['method.opt']) == ['method.optimizer.'], 'wrong answer'\n"
        "print(time.process_time() - start, 'torch' in sys.modules)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    spent, torch = zip(*(run.stdout.split() for run in runs), strict=True)
    assert set(torch) == {"False"}
    assert min(map(float, spent)) < 1.2  # the target is 0.6 s; twice that is room for a busy machine

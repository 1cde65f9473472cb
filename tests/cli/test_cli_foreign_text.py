"""Labels are text, files are UTF-8 whatever the locale, and a user's yaml that is none is answered in a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import invoke
from support.records import manifests

TINY = ("method=sgd", "model.widths=[4]", "iterations=4", "eval.every=2", "threads=1")
LABELS = (r"$\frac$", "[bold]x[/nope]", "a_b^c $", "<script>", "$x_$ of $5 and $6", "[/]", "[red]", "café ∂θ")


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_text(label: str, here: Path) -> None:
    done = invoke("run", *TINY, f'method.label="{label}"')
    assert done.exit_code == 0, done.stderr
    assert label in done.stdout
    drawn = invoke("plot", "results", "--title", label, "--out", "f.svg")
    assert drawn.exit_code == 0, drawn.stderr
    assert invoke("compare", "results").exit_code == 0
    assert invoke("ls", "runs").exit_code == 0


def test_mathtext_that_parses_is_drawn_as_such_and_other_dollars_stay(here: Path) -> None:
    from bnnbench.analysis.plots.curves import draw

    assert invoke("run", *TINY, 'method.label="$5 or $\\\\alpha$"').exit_code == 0
    figure = draw("results", title=r"$\alpha$")
    assert figure.axes[0].title.get_parse_math()
    words = [text for text in figure.axes[0].get_legend().get_texts() if text.get_text().startswith("$5")]
    assert words and not any(text.get_parse_math() for text in words)


YAML = {
    "indent": (b"name: sgd\n  label: x\n", "line 2: not valid YAML"),
    "tab": (b"name: sgd\n\tlabel: x\n", "line 2: not valid YAML"),
    "latin-1": (b"# caf\xe9\nname: sgd\n", "not UTF-8 text"),
    "binary": (bytes(range(256)), "mine.yaml: "),
    "key twice": (b"name: sgd\nname: sgld\n", "not valid YAML: found duplicate key name"),
    "tag": (b"!!python/object:os.system x\n", "not valid YAML"),
    "cycle": (b"defaults: [mine]\nname: sgd\n", "mine"),
}


@pytest.mark.parametrize(("content", "words"), YAML.values(), ids=YAML)
def test_a_file_that_is_no_yaml_is_named_in_a_line(content: bytes, words: str, here: Path) -> None:
    (here / "conf" / "method").mkdir(parents=True)
    (here / "conf" / "method" / "mine.yaml").write_bytes(content)
    refused = invoke("run", "--config-dir", "conf", "method=mine")
    assert refused.exit_code == 1
    assert words in refused.stderr and "mine" in refused.stderr
    assert len(refused.stderr.splitlines()) <= 2
    assert not (here / "results").exists()


def test_without_utf8_in_the_locale_a_run_is_recorded_all_the_same(here: Path) -> None:
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    words = ("run", "method=sgld", *TINY[1:], "members.burn_in=1")
    done = subprocess.run([sys.executable, "-m", "bnnbench", *words], env=environment, capture_output=True, cwd=here)
    assert done.returncode == 0, done.stderr.decode()
    (manifest,) = manifests(here)
    assert manifest["status"] == "finished"
    assert any("Σε²" in warning for warning in manifest["warnings"])

"""What the tests of the command line share beside fixtures."""

from pathlib import Path

QUICK = ("model.widths=[8]", "epochs=2", "members.burn_in=5", "eval.every=10", "threads=1")  # 28 iterations on digits


def left_behind(folder: Path) -> list[str]:
    """Return every file and folder below `folder`."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

"""How a commit is shown."""

from __future__ import annotations


def short(commit: str | None) -> str:
    """Return ten digits of the commit, and the ``+`` of a changed working tree."""
    return "unknown" if commit is None else commit[:10] + "+" * commit.endswith("+")

"""The number of the format that manifest.json and checkpoint.pt are written in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnnbench.errors import BnnbenchError

SCHEMA = 2
# 1: without a number. Old words in config.yaml (`config.renamed`); "update" and "evaluator" in checkpoint.pt.
# 2: "optimizer" and "approximation" in checkpoint.pt, "schema" in both files.


def schema_of(content: Mapping[str, Any], file: Path) -> int:
    """Return the format of the `content` of `file`.

    Raises:
        BnnbenchError: a later version of bnnbench has written it.
    """
    schema = content.get("schema", 1)
    if isinstance(schema, int) and schema > SCHEMA:
        raise BnnbenchError(
            f"{file}: written by a later bnnbench (schema {schema}; this one reads up to {SCHEMA}). Upgrade bnnbench."
        )
    return schema if isinstance(schema, int) else 1

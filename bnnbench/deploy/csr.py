"""Compressed sparse rows: the non-zero numbers of a weight, each with its column, and where every row begins."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

INDEX_TYPES = (torch.uint8, torch.int16, torch.uint16, torch.int32)  # by the largest number they hold


def to_csr(weight: Tensor) -> dict[str, Any]:
    """Return a weight [out, …] by rows, as plain tensors.

    ``crow`` int32 [out + 1]: row r is crow[r] to crow[r+1] − 1 of the others; ``col`` [n]: its columns along the
    flattened rest [in·h·w], in the smallest integer type that holds them all; ``values`` [n]; ``shape`` of the weight.
    """
    rows = weight.flatten(1)
    row, col = rows.nonzero(as_tuple=True)
    crow = torch.zeros(len(rows) + 1, dtype=torch.int64)
    crow[1:] = rows.count_nonzero(dim=1).cumsum(0)
    kind = next(t for t in INDEX_TYPES if rows.shape[1] - 1 <= torch.iinfo(t).max)
    return {"crow": crow.int(), "col": col.to(kind), "values": rows[row, col], "shape": list(weight.shape)}


def from_csr(stored: dict[str, Any]) -> Tensor:
    """Return the weight that `to_csr` compressed."""
    shape = stored["shape"]
    dense = stored["values"].new_zeros(shape[0], math.prod(shape[1:]))
    row = torch.arange(shape[0]).repeat_interleave(stored["crow"].long().diff())
    dense[row, stored["col"].long()] = stored["values"]
    return dense.view(shape)

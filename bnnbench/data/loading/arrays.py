"""Whatever a reader returns for an array, as a tensor of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnnbench.errors import DataError

NUMBERS = "biufc"  # numpy's kinds: bool, integers with and without sign, floating point, complex
SIGNED = {"uint16": "int32", "uint32": "int64", "uint64": "int64"}  # torch computes little with the former
WIDEST = {"f": "float64", "c": "complex128"}  # of torch


def as_tensor(values: Any, where: str) -> Tensor:
    """Return a copy of `values` that shares neither memory nor a graph with it.

    Args:
        values: a tensor, or what numpy can read: arrays of any byte order and strides, data frames and series (their
            values, whatever the index), lists. Sparse matrices become dense.
        where: what it is, for messages.

    Raises:
        DataError: words, objects or masked values: which number stands for them is the dataset's to say.
    """
    if isinstance(values, Tensor):
        kinds = {"quantised": values.is_quantized, "nested": values.is_nested, "meta": values.is_meta}
        if odd := [kind for kind, holds in kinds.items() if holds]:
            raise DataError(f"{where} is a {odd[0]} tensor. Give a plain one, with values.")
        return (values.detach() if values.layout == torch.strided else values.detach().to_dense()).clone()
    if hasattr(values, "toarray"):  # a sparse matrix of scipy
        values = values.toarray()
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise DataError(f"{where} has masked values. Fill them in, or leave their rows out.")
    try:
        array = np.asarray(values)
        if array.dtype == object:  # a frame whose columns differ in type
            array = np.asarray(array.tolist())
    except (ValueError, TypeError) as error:
        raise DataError(f"{where} is no array of numbers: {error}.") from error
    if array.dtype.kind not in NUMBERS:
        shown = f", such as {array.flat[0]!r:.40}" if array.size else ""
        raise DataError(f"{where} holds {array.dtype} values{shown}. Give numbers; classes count from 0.")
    if array.dtype.name == "uint64" and array.size and array.max() >= 2**63:
        raise DataError(f"{where} has values of 2^63 and more. Give them as floating-point numbers.")
    wanted = SIGNED.get(array.dtype.name, array.dtype.newbyteorder("="))
    widest = np.dtype(WIDEST.get(array.dtype.kind, "int64"))
    if array.dtype.itemsize > widest.itemsize:
        wanted = widest
    return torch.from_numpy(np.array(array, dtype=wanted, order="C"))

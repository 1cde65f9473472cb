"""Arrays at an address: what a loop is given in place of tensors, one call for many of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnbench.kernels.compiler import inline


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    return types.voidptr(address), lambda ctx, builder, signature, args: builder.inttoptr(args[0], cgutils.voidptr_t)


@inline
def floats(address, size):
    """Return the float32 array of `size` elements at `address`, an integer."""
    return carray(_pointer(address), (size,), np.float32)


@inline
def integers(address, size):
    """Return the int64 array of `size` elements at `address`, an integer."""
    return carray(_pointer(address), (size,), np.int64)

"""Keys of random streams, from what the stream is for."""

from __future__ import annotations

import functools
import hashlib

import numpy as np


@functools.lru_cache(maxsize=4096)
def key(*parts: int) -> tuple[np.uint32, np.uint32]:
    """Return two words of 32 bits for a seed and the indices that follow it: the SHA-256 of them."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return np.uint32(int.from_bytes(digest[:4], "big")), np.uint32(int.from_bytes(digest[4:8], "big"))

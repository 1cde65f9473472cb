"""Every random stream has a name: ``seed = f(base seed, chain, role, …)``.

Streams of different names are independent for all practical purposes, and a chain's streams do not depend on how many
chains run beside it. So chain 2 of a run with ``chains=4`` sees the initialisation, the minibatches and the noise that
it would see in a run with ``chains=8``.
"""

from __future__ import annotations

import hashlib

ROLES = ("init", "data", "noise", "layers", "eval")


def derive(seed: int, chain: int, role: str, *parts: int) -> int:
    """Return a 63-bit seed, the SHA-256 of the named parts.

    Args:
        seed: the run's base seed.
        chain: index of the chain, 0…K−1.
        role: what the stream is for, one of `ROLES`.
        parts: further indices, such as the epoch.
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {ROLES}, got {role!r}")
    name = "/".join(map(str, (seed, chain, role, *parts)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1

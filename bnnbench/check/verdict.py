"""The verdict on an estimate: pass, fail, or unresolved."""

from __future__ import annotations

PASS, FAIL, UNRESOLVED = "pass", "fail", "unresolved"
RESOLVED = 0.02  # standard error, in posterior standard deviations (variances): above it nothing passes
SIGMAS = 4.5  # a right sampler fails one of 150 000 comparisons
TOLERANCE = 0.1  # bias in posterior standard deviations (variances), where the law of the discrete chain is not known


def judge(error: float, z: float | None, bias: float) -> str:
    """Return the verdict on a moment: what is plainly wrong fails, what passes must be known well.

    Args:
        error: its standard error over independent chains, in units of the posterior's.
        z: standard errors from the law of the discrete chain; None if that is not known.
        bias: from the posterior, in its standard deviations or variances.
    """
    if z is not None:
        wrong = not abs(z) <= SIGMAS
    else:  # by more than chance would have it
        wrong = not abs(bias) - SIGMAS * error <= TOLERANCE
    if wrong:
        return FAIL
    if not error <= RESOLVED:
        return UNRESOLVED
    return PASS if z is not None or abs(bias) <= TOLERANCE else UNRESOLVED

"""Samplers against targets whose answer is known: ``bnnbench check``.

Many independent chains of a sampler, one stacked tensor [K, d], run on a target until each has forgotten its start.
What they average to stands beside two numbers that are known without them: the law of the DISCRETE chain, which holds
at any step size and has no error to be excused, and the posterior, from which the former differs by what the step and
the minibatch do. A wrong factor of 2 or N in a sampler misses the first; a step too large misses the second alone.

    targets/            one file each, found by its name: a subclass of `Target`
    target.py           the protocol of a target, and the directions in which moments are taken
    gradient_noise/     one file each: what the gradient is besides that of the potential
    sampler.py          a sampler as the command line describes it
    step_size.py        η from the dimensionless step h
    simulation.py       chains → moments with standard errors
    law.py              stationary moments of the discrete chain, from its update as printed
    verdict.py          pass, fail, unresolved
    case.py             one setting, from its chains to the rows of the table; plan.py lists the settings
    table.py            rows, their CSV, what has moved since
    report.py           the table of the docs and where it comes from

Nothing is registered: a sampler is checked because its file lies in `bnnbench.samplers`, or because it is named.
"""

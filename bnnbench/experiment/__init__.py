"""One run, from its configuration to its record.

Read `run` from top to bottom: check, assemble, then step, observe, evaluate, save. `assembly` makes the parts of a run,
`evaluation` the rows of metrics.csv, `snapshot` the state between two steps; `divergence` stops a run whose loss or
parameters are no longer finite, `warm_start` takes parameters from another run, `progress` reports to the user,
`timing` and `machine` record time and place.
"""

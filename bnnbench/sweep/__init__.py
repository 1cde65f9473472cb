"""Many runs: all checked before the first starts, none done twice, none stopping the others.

`plan` makes jobs from lists of overrides, `sweep` runs those that remain, `report` shows their progress and how they
ended, `jobs` defines the terms. `launchers` are the places where runs take place, one file each.
`hydra_plugin` is the one module that knows Hydra's plug-ins; everything else here can be called without Hydra's
objects.

Exit code of a sweep: 0 all finished, now or before; 1 a configuration is wrong (nothing was started) or a run failed;
75 nothing failed, but another process is writing some of the runs; 130 interrupted. The same command does what is
left.
"""

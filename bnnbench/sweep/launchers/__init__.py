"""Launchers: the places where the runs of a sweep take place.

A launcher is one file with one subclass of `base.Launcher` and one yaml in ``conf/hydra/launcher/``; it is found by
its file name. ``run(jobs, observer)`` runs the jobs and returns how each ended. Most back ends give a handle for every
job: their launchers derive from `base.FuturesLauncher`, which has the loop, Ctrl-C and the bookkeeping. `worker` is the
code of a worker process.
"""

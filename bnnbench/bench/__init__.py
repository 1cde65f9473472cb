"""What bnnbench costs: ``python -m bnnbench.bench`` (or ``make bench``), twenty minutes on two cores.

Only ratios are compared: of blocks of work that alternate within one process, each block beside that of its reference
in the same round. Seconds on a shared machine mean little. When other processes want the same cores even ratios are
unsteady; their quartiles say so, and the processor's seconds beside the clock's.

A part is a module with a function ``measure(setting) → rows``, one at a time, so that what was measured is kept when
the next breaks. `PARTS` of ``__main__`` lists them:
    steps, layers, floors, careful, peers, growth, chains, noise    training steps in this process
    evaluation, end_to_end, checkpoints                             whole runs in this process
    start, sweeps, reading, memory                                  commands, each a process of its own

    setting.py   what all parts are told: data, threads, rounds
    timing.py    alternating blocks, ratios, quartiles
    commands.py  the same for processes, with their peak memory
    table.py     rows, the CSV, its provenance, the baseline
    loops.py     the loop of a run, laid open
    bare.py      loops in torch alone, the references
    markdown.py  the tables of README and docs
    profile.py   where the time of a step goes (``make profile METHOD=sgld``)
"""

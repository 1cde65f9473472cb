"""Analysis of recorded runs: from CSV, YAML and JSON alone, never torch, on any machine, years later.

    predictions  the prediction of a run that counts, and its last scores
    groups       replicates (runs that differ in the seed alone), and the groups that `--by` asks for
    statistics   means over repetitions, paired differences, Holm's correction: functions of plain numbers
    compare      groups against the best of them → `Comparison`; tables prints and writes it
    collect      all rows of many runs as one CSV
    plots/       figures

A function takes paths or a list of `bnnbench.store.frame.Run` and returns plain data; text and figures are made from it
in a second step. Names, units and directions of measures come from `bnnbench.tasks.measures`: nothing in this room
knows a measure by name, so that a task's own measures are treated like all others.
"""

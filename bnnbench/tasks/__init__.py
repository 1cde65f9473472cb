"""Tasks: what a network's output means.

A task is one file with one subclass of `bnnbench.tasks.base.Task`; it is found by its name. A dataset names its task
(``TASK``), the configuration may name another (``task.name=…``) and sets its options (``task.head=…``). A task says
how wide the last layer is and what the likelihood has to learn by itself (``outputs``, ``wrap``), the mean negative
log-likelihood per datum (``loss``), the predictive distribution of one network (``predict``) and of many
(``predictive``), the measures of such a prediction (``scores``), and what targets must look like (``check``,
``fitted``, ``transform``). Nothing else asks which task is being solved.

`measures` is the one table of all measures: name, words, unit, direction. It loads neither torch nor pandas, and nor
does this package itself, so that results are read without either. `formulas` holds the formulas of the tasks' own
measures; `metrics` is the room of those that a run may record besides.
"""

"""`bnnbench tune`: an equal budget of trials for every method, judged on the validation split; a trial is a run.

`tuner` conducts the searches, `space` parses the search space, `study` stores the trials (Optuna), `objective` scores
them, `best` writes the result as a configuration to run. Nothing below this room knows of it.
"""

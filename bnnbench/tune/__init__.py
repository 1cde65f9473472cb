"""`bnnbench tune`: an equal budget of trials for every method, judged on the validation split; a trial is a run.

`tuner` conducts the searches, `space` reads what is searched over, `study` keeps the trials (Optuna), `objective`
scores them, `best` writes what was found as a configuration to run. Nothing below this room knows of it.
"""

"""B3: runs of any length, and lengths that are none: iterations, burn-in, thinning, intervals, warm-up, schedules."""

from __future__ import annotations

from hostile.case import Case, no, yes
from hostile.place import Place, newest_run, rows_of

T = "run model.widths=[4] threads=1 "  # without a length
TUNE = "tune TINY method=sgld dataset.valid=0.2 "


def reaches(iteration: int, posterior: bool = True) -> object:
    """Return a check that the run has a row at `iteration`, with a posterior mean."""

    def check(place: Place, out: str, err: str) -> None:
        rows = rows_of(newest_run(place))
        last = [row for row in rows if row["iteration"] == str(iteration)]
        assert last and max(int(row["iteration"]) for row in rows) == iteration, rows
        assert not posterior or any(row["predictor"] == "posterior" for row in last), last

    return check


CASES: list[Case] = [
    yes("one iteration", T + "method=sgld iterations=1", check=reaches(1)),
    yes("two iterations of a V to be learned", T + "method=psgld iterations=2", check=reaches(2)),
    yes("three iterations of two chains", T + "method=psgld iterations=3 chains=2", check=reaches(3)),
    yes("one iteration of drawn layers", T + "method=bbb iterations=1", check=reaches(1)),
    yes("a fraction of an epoch", T + "method=sgld epochs=1e-9", check=reaches(1)),
    yes("a third of an epoch", T + "method=psgld epochs=0.34", check=reaches(5)),
    no("iterations in halves", T + "iterations=4.5", "iterations=4.5"),
    no("iterations in words", T + "iterations=ten", "iterations=ten"),
    no("iterations backwards", T + "iterations=-4", "iterations=-4"),
    no("iterations as a truth", T + "iterations=true", "iterations=true"),
    no("a list of iterations", T + "iterations=[4]", "iterations"),
    no("epochs backwards", T + "epochs=-0.5", "epochs=-0.5"),
    no("epochs in words", T + "epochs=all", "epochs=all"),
    no("more epochs than time", T + "epochs=1e300", "epochs=1e\\+?300"),
    no("no word on epochs", T + "epochs=null", "epochs"),
    no("burn-in as a fraction", T + "iterations=4 members.burn_in=0.5", "members.burn_in=0.5"),
    no("burn-in in words", T + "iterations=4 members.burn_in=half", "members.burn_in=half"),
    no("burn-in as long as the run", T + "method=sgld iterations=4 members.burn_in=4", "burn_in=4.*4 iterations"),
    no(
        "burn-in by reference to the whole", T + "method=sgld iterations=4 'members.burn_in=${iterations}'", "burn_in=4"
    ),
    yes("burn-in one short of the run", T + "method=sgld iterations=4 members.burn_in=3", check=reaches(4)),
    no("thinning longer than the run", T + "method=sgld iterations=4 members.thin=100", "thin"),
    no("thinning backwards", T + "members.thin=-2", "members.thin=-2"),
    no("thinning in halves", T + "members.thin=1.5", "members.thin=1.5"),
    yes("an interval longer than the run", T + "method=sgld iterations=4 eval.every=100", check=reaches(4)),
    yes("an interval that does not divide the run", T + "method=sgld iterations=4 eval.every=3", check=reaches(4)),
    yes("an interval written as a real number", T + "method=sgd iterations=4 eval.every=2.0", check=reaches(4, False)),
    no("an interval as a truth", T + "iterations=4 eval.every=true", "eval.every=true"),
    no("an interval in words", T + "iterations=4 eval.every=epoch", "eval.every=epoch"),
    yes("batches of all data", T + "method=sgd iterations=2 batch_size=1438", check=reaches(2, False)),
    no("batches of more than all data", T + "iterations=2 batch_size=1439", "batch_size=1439.*1438"),
    no("batches of more than is left", T + "iterations=2 batch_size=100 dataset.valid=1400", "batch_size=100.*38"),
    yes("one training point", T + "method=sgd iterations=2 batch_size=1 dataset.valid=1437", check=reaches(2, False)),
    no("no training point", T + "iterations=2 dataset.valid=1438", "dataset.valid=1438"),
    no("almost all held out", T + "iterations=2 dataset.valid=0.9999", "dataset.valid=0.9999"),
    no("less than one point held out", T + "iterations=2 dataset.valid=1e-9", "dataset.valid=1e-09"),
    no("a negative number held out", T + "iterations=2 dataset.valid=-5", "dataset.valid=-5"),
    no("a point and a half held out", T + "iterations=2 dataset.valid=1.5", "dataset.valid=1.5"),
    no("a negative seed of the split", T + "iterations=2 dataset.valid=5 dataset.valid_seed=-1", "valid_seed=-1"),
    no(
        "a huge seed of the split",
        T + "iterations=2 dataset.valid=5 dataset.valid_seed=99999999999",
        "valid_seed=99999999999",
    ),
    no("checkpoints never", T + "iterations=2 checkpoint_every=never", "checkpoint_every=never"),
    no("checkpoints at infinity", T + "iterations=2 checkpoint_every=inf", "checkpoint_every=inf"),
    no("a schedule of no cycles", T + "iterations=2 schedule=cyclical schedule.cycles=0", "cycles=0"),
    no("blocks of no epochs", T + "iterations=2 schedule=halving schedule.every=0", "every=0"),
    no("halves that double", T + "iterations=2 schedule=halving schedule.by=2", "by=2"),
    no("flat for longer than the run", T + "iterations=2 schedule=linear schedule.flat=1.5", "flat=1.5"),
    no("a polynomial from nothing", T + "iterations=2 schedule=polynomial schedule.b=0", "schedule.b=0"),
    no("a polynomial that grows", T + "iterations=2 schedule=polynomial schedule.power=-2", "power=-2"),
    no("warm-up beyond numbers", T + "iterations=2 method=vd method.kl.full_from=1e308", "full_from=1e\\+308"),
    no("no trials", TUNE + "--trials 0", "trials 0"),
    no("trials backwards", TUNE + "--trials=-3", "trials -3"),
    no("trials in halves", TUNE + "--trials 1.5", "trials"),
    no("trials in words", TUNE + "--trials many", "trials"),
    no("a search through burn-ins longer than the run", TUNE + "--trials 2 'members.burn_in=range(0,10)'", "burn_in"),
    no(
        "a search through epochs backwards",
        "tune model.widths=[4] threads=1 method=sgld dataset.valid=0.2 --trials 2 'epochs=interval(-1,1)'",
        "epochs=-1",
    ),
    no("a search on all training points", "tune TINY method=sgld dataset.valid=0 --trials 2", "dataset.valid"),
]

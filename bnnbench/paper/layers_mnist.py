"""Stochastic layers on MNIST: dropout, variational dropout, mean-field."""

from __future__ import annotations

from bnnbench.paper import READ_OFF, Figure, Value
from bnnbench.paper._curves import against_epochs

KINGMA = "Kingma et al. 2015, figure 1, 3 × 250"
METHODS = ("adam", "dropout", "vd", "vd_a", "mean_field")  # 60 epochs
LONGER = {"gaussian_dropout": 100}

FIGURE = Figure(
    title="Stochastic layers on MNIST, 3 × 250",
    source="Kingma et al. 2015, figure 1",
    cost="an hour on one busy core; needs `bnnbench data fetch mnist`",
    sweeps=(
        ("experiment=vd_mnist", f"method={','.join(METHODS)}", "seed=0", "threads=1"),
        *(
            ("experiment=vd_mnist", f"method={method}", f"epochs={epochs}", "seed=0", "threads=1")
            for method, epochs in LONGER.items()
        ),
    ),
    quick=("epochs=2", "eval.every=100"),
    draw=against_epochs,
    published=(
        Value("no dropout", "1.30", KINGMA, READ_OFF, method="adam"),
        Value("binary dropout", "1.39", KINGMA, READ_OFF, method="dropout"),
        Value("Gaussian dropout A", "1.43", KINGMA, READ_OFF, method="gaussian_dropout"),
        Value("Gaussian dropout B", "1.46", KINGMA, READ_OFF),
        Value("variational dropout A", "1.26", KINGMA, READ_OFF, method="vd_a"),
        Value("variational dropout A2", "1.21", KINGMA, READ_OFF),
        Value("variational dropout B", "1.37", KINGMA, READ_OFF, method="vd"),
    ),
    note=(
        "Three hidden layers of 250 ReLU units. The published values are good to ± 0.02; they come from early "
        "stopping on a validation set, ours from a fixed number of epochs, with step size and input scaling of our"
        " own. One seed: differences below 0.1 mean little. VD is type B, whose KL counts all weights: here every "
        "α ends at its limit, 1. For mean-field VI no value of this width is known; an independent repetition with "
        "this estimator has 2.61 % (2 × 1200); for 2 × 400 see Bayes by backprop."
    ),
)

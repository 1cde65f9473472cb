"""The MNIST network of the pSGLD paper, 784-400-400-10, in the release's reading and at T = 1."""

from __future__ import annotations

from bnnbench.paper import RECALLED, SEEN, Figure, Value
from bnnbench.paper._curves import against_epochs

LI = "Li et al. 2016, 400-400, 100 epochs"
BLUNDELL = "Blundell et al. 2015, table 1, 400-400"
KORATTIKARA = "Korattikara et al. 2015, table 3, 400-400, 10 runs"

FIGURE = Figure(
    title="MNIST, 784-400-400-10",
    source="Li et al. 2016, the table for MNIST",
    cost="15 minutes on 2 cores; needs `bnnbench data fetch mnist`",
    sweeps=(
        ("experiment=psgld_mnist", "method=psgld,sgld,rmsprop,sgd", "epochs=20", "threads=1"),
        ("experiment=psgld_mnist_t1", "method=psgld,sgld,batchnorm_sgld", "epochs=20", "threads=1"),
    ),
    quick=("epochs=2",),
    draw=against_epochs,
    published=(
        Value("pSGLD, σ² = 100", "1.40", LI, RECALLED),
        Value("pSGLD, σ² = 1", "1.45", LI, RECALLED),
        Value("SGLD", "1.64", LI, RECALLED),
        Value("RMSprop", "1.59", LI, RECALLED),
        Value("SGD", "1.72", LI, RECALLED),
        Value("SGLD", "1.271 ± 0.013", KORATTIKARA, SEEN),
        Value("SGD", "1.536 ± 0.012", KORATTIKARA, SEEN),
        Value("SGD", "1.83", BLUNDELL, SEEN),
        Value("SGD with dropout", "1.51", BLUNDELL, SEEN),
        Value("Bayes by backprop, Gaussian prior", "1.82", BLUNDELL, SEEN),
        Value("Bayes by backprop, scale mixture", "1.36", BLUNDELL, SEEN),
    ),
    note=(
        "20 of the paper's 100 epochs, one seed, test error on the 10 000 test images. The rows at T = 1/N are the "
        "release's reading of SGLD and pSGLD, and its RMSprop: log-probabilities weighted by the step size are "
        "averaged, and pSGLD has the prior in V. Those at T = 1 are the algorithms as printed. No step size was tuned: "
        "the table shows that the code runs, not which method is best."
    ),
)

"""Faster versions of the layers' formulas, with hand-written gradients.

Only what saves about 3 % or more of a training step of its method stands in this folder (784-300-100-10, batches of
100, Adam, one thread): variational dropout's α, αθ² and cubic KL together 12 % with an α per unit, and 19 and 26 % (αθ²
and the KL) with one per weight; the draw 3 %, in LeNet-5 too; the sigmoid KL 10 %; the variance and the KL of Sparse VD
30 to 40 % each. They serve convolutions, several chains, GPUs and double precision; a training step of a linear layer
on a CPU is one function for output and KL (`step`, `mean_field_linear`, `vd_linear`, `sparse_linear`), whose
elementwise work is done by compiled loops (`bnnbench.kernels.layers`). The plain formula of each is its definition, and
the one that second derivatives and compilers see.
"""

"""Priors p(θ) over parameters.

A prior is one file with one subclass of `bnnbench.priors.base.Prior`, found by its name; its options are the parameters
of its constructor. It gives ``log_density`` of stacked parameters [K, …] → [K], up to a constant; and ``weight_decay``
where its gradient is linear in θ: then it goes to the update rule in that form, so that MAP is seen to be weight decay
and pSGLD can keep the prior out of V. Which kinds of parameters carry the prior (weights;
biases and normalisation if the configuration says so) is not the prior's business but `potential.py`'s.
"""

"""bnnbench: one command runs any approximation of a neural network's posterior on the same data, prior and budget."""

__version__ = "0.1.0"

"""Gradient noise, one file each, found by its name: a subclass of `GradientNoise` in base.py."""

"""Targets, one file each, found by its name; a subclass of `bnnbench.check.target.Target` with no arguments."""

"""Hostile inputs, as tables of data: a file for each kind, and the harness that runs them (see case.py, server.py)."""

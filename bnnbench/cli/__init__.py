"""The verbs of the command line, one function each, and what they share.

A verb imports what it needs when it acts: `bnnbench --help` and TAB load neither torch nor pandas nor Hydra. Errors
that the user can mend end in one or two lines and an exit code (`common.guarded`).
"""

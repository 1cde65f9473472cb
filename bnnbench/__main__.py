"""``python -m bnnbench``: the command line."""

import sys

from bnnbench.cli.app import app

sys.exit(app(prog_name="bnnbench"))

import pytest
from support.synthetic_runs import write_run


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes a run's folder below tmp_path and returns it."""
    return lambda folder, rows, **settings: write_run(tmp_path / folder, rows, **settings)

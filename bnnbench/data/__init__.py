"""Datasets as tensors in memory, on the device, preprocessed and split the same way for every method.

Adding a dataset: one file here (or a module of your own, given by its dotted name) with

    TASK = "classification"           # the name of a task: a file of ``tasks/``, or a dotted name
    CLASSES = 10                      # for classification; None otherwise
    def load(root, part, **options):  # part is "train" or "test"; returns raw (x, y), arrays or tensors

and one yaml in ``conf/dataset/``. ``fetch(root)`` (download) and ``verify(root)`` (checksums; returns lines to print)
are optional. Everything else in the yaml is an option of ``load``, checked against its signature.
"""

from bnnbench.data.files.root import data_root
from bnnbench.data.loading.load import check_dataset, check_targets, fetch_data, load_data, verify_data
from bnnbench.data.loading.types import Data, Split

__all__ = ["Data", "Split", "check_dataset", "check_targets", "data_root", "fetch_data", "load_data", "verify_data"]

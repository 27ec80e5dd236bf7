"""Whole data sets: explained into one store, which resumes after any interruption, and read back."""

from xaijax.scale.dataset._compare_dataset import compare_dataset
from xaijax.scale.dataset._explain_dataset import explain_dataset
from xaijax.scale.dataset._hosts import connect
from xaijax.scale.dataset._read import failures, load_ids, load_summary, read_store
from xaijax.scale.dataset._run import Summary
from xaijax.scale.dataset._source import Failure

__all__ = [
    "Failure",
    "Summary",
    "compare_dataset",
    "connect",
    "explain_dataset",
    "failures",
    "load_ids",
    "load_summary",
    "read_store",
]

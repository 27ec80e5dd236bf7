"""Whole data sets: explained into one store, and read back."""

from xaijax.scale.dataset._connect import connect
from xaijax.scale.dataset._explain_dataset import explain_dataset
from xaijax.scale.dataset._failures import Failure
from xaijax.scale.dataset._load import failures, load, load_ids, load_summary
from xaijax.scale.dataset._run_summary import Summary

__all__ = ["Failure", "Summary", "connect", "explain_dataset", "failures", "load", "load_ids", "load_summary"]

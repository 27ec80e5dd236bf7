"""Runs the wrong calls, and prints each one that ends in neither a right answer nor one sentence about the argument.

    python -m tests.fuzz [--every=N] [namespace or function ...]

With --every=N only each N-th call is made, and none that is legal: these may compile. The test runs it in a process of its
own, without the annotations' run-time checks, which would speak first.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import time
import traceback
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import xaijax as xai
from tests.fuzz.right_calls import NEW, Results, right_calls
from tests.fuzz.wrong_values import WRONG, wrong_values

_PACKAGE = os.path.dirname(xai.__file__) + os.sep
_TYPES = (TypeError, ValueError, IndexError, FileNotFoundError)
_LONGEST = 700  # characters of a message

# Arguments in which the caller's own functions lie: their errors keep their type and get the package's note.
_USERS = {
    "model", "models", "x", "value", "score", "read", "target", "features", "head", "function", "explainer", "explainers", "metrics", "truth",
    "tokenizer", "split", "x_example", "source", "masker", "draw", "method", "maps", "fill",
    "perturbation",
}  # fmt: skip
# Arguments that belong to another one, which their error names.
_OWNERS = {
    "scale.explain_dataset.source": "x",  # of the explainer
    "scale.compare_dataset.source": "x",
    "scale.export.x_example": "x",
    "gradient.occlusion.x": "window",  # which does not fit it
    "plot.intervals.names": "values",  # which have one for each name and group
    "plot.intervals.groups": "values",
    "cam.cam.channel_axis": "model",  # is none of this method for another axis
    "text.response_game.gaps": "model",  # which then takes positions
    "to_shap.names": "attribution",  # which then has names for each example
}


def fault(error, name, parameter):
    """Returns what is wrong with an error: None for one sentence by the package about the argument."""
    if name == "scale.connect" and isinstance(error, RuntimeError):  # JAX has started
        return None
    if type(error) not in _TYPES and not (isinstance(error, _TYPES) and type(error).__module__.startswith("xaijax.")):
        return "no error of the package"
    if any(note.startswith("xaijax: ") for note in getattr(error, "__notes__", ())):
        return None if parameter in _USERS else "an error of the model"
    last = list(traceback.walk_tb(error.__traceback__))[-1][0].f_code.co_filename
    message = str(error).partition("\n--------------------")[0].strip()
    if not last.startswith(_PACKAGE):
        return "raised elsewhere"
    owner = _OWNERS.get(f"{name}.{parameter}", parameter)
    missing_file = isinstance(error, FileNotFoundError) and "does not exist" in message
    if not missing_file and not re.search(rf"`({parameter}|{owner})\b", message):
        return "does not name the argument"
    if (
        "\n" in message
        or len(message) > _LONGEST
        or not message.endswith((".", "?"))
        or re.search(r"\w[.!?] [A-Z]", message)
    ):
        return "not one sentence"
    return None


def report_of(name, function, arguments, parameter, kind, number):
    """Makes one wrong call; returns the line that reports it, or None where it ended well."""
    given = {**arguments, parameter: WRONG[kind]} if parameter else arguments
    given = {key: f"new{number}" if value is NEW else value for key, value in given.items()}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            function(**given)
    except Exception as error:
        what = fault(error, name, parameter) if parameter else "the right call fails"
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(_PACKAGE)]
        where = f"{os.path.relpath(frames[-1].filename, _PACKAGE)}:{frames[-1].lineno}" if frames else "?"
        return what and f"{name}({parameter}={kind}): {what}: {type(error).__name__} at {where}: {str(error)[:250]!r}"
    finally:
        plt.close("all")
    return f"{name}({parameter}={kind}): accepted" if parameter else None


def main(arguments):
    sys.stdout.reconfigure(errors="replace")
    warnings.simplefilter("ignore")
    every = next((int(one.partition("=")[2]) for one in arguments if one.startswith("--every=")), 1)
    chosen = [one for one in arguments if not one.startswith("--")]
    number, calls, raw, start = 0, 0, 0, time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        is_chosen = lambda name: not chosen or any(f"{name}.".startswith(f"{one}.") for one in chosen)  # noqa: E731
        for name, function, right in right_calls(Results(), is_chosen):
            pairs = [*([("", "", False)] if every == 1 else []), *wrong_values(name, function)]
            for parameter, kind, legal in pairs:
                number += 1
                if number % every or (legal and every > 1):
                    continue
                line = report_of(name, function, right, parameter, kind, number)
                calls += 1
                if line is not None and not (legal and line.endswith(": accepted")):
                    raw += 1
                    print(line, flush=True)
    print(f"{calls} calls, {raw} raw, {time.process_time() - start:.0f} s of CPU", file=sys.stderr)

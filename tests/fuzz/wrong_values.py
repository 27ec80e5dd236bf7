"""Values that are wrong for most arguments, and the arguments for which they are right."""

import inspect

import numpy as np

WRONG = {
    "None": None,
    "True": True,
    "an int of 400 digits": 10**400,
    "an int beyond 32 bits": 2**40,
    "a negative int": -3,
    "a fraction": 2.5,
    "NaN": float("nan"),
    "inf": float("inf"),
    "text": "3",
    "empty text": "",
    "a lone surrogate": "\ud800 $$",
    "bytes": b"3",
    "an object": object(),
    "a mixed list": [3, "a"],
    "a ragged list": [[1.0], [1.0, 2.0]],
    "an empty list": [],
    "a list of None": [None, None],
    "a dict": {"a": 1},
    "a set": {1, 2},
    "a complex number": 1 + 2j,
    "complex numbers": np.ones((3, 4), complex),
    "objects": np.array([{}, None], dtype=object),
    "strings": np.array(["a", "b"]),
    "masked values": np.ma.masked_array([1.0, 2.0], [True, False]),
    "an array of five axes": np.ones((1, 2, 1, 2, 1)),
    "a long row": np.ones(7),
    "rows of NaN": np.full((3, 4), np.nan),
    "no rows": np.ones((0, 4)),
    "a function": len,
    "a class": int,
}

_TEXTS = {"text", "empty text", "a lone surrogate"}
_POSITIVE = {"a fraction", "an int beyond 32 bits"}
_NUMBERS = {*_POSITIVE, "a negative int"}
_SCALES = {"True", "a fraction", "a negative int"}
_FILLS = {*_SCALES, "an empty list", "an array of five axes", "a long row", "no rows"}  # compared with the images later
_BOUNDS = {*_NUMBERS, "True", "an array of five axes", "a long row"}  # compared with a layer later
_EXPLAINED_AGAIN = [
    "max_sensitivity", "avg_sensitivity", "local_lipschitz", "relative_input_stability", "relative_output_stability",
    "parameter_randomization", "efficient_randomization", "random_logit", "key_agreement",
]  # fmt: skip

# What is right of them for an argument of this name, or of this function; next to a default of None and flags.
LEGAL = {
    **dict.fromkeys(("title", "text", "date", "fingerprint", "separator", "reference_name", "Section.output", "tag.name"), _TEXTS),
    "scale.connect.coordinator": _TEXTS,
    **dict.fromkeys(("output_names", "titles", "categories", "notes", "plot.intervals.names", "texts", "classes", "plot.text.words", "plot.text_html.words"), ("strings",)),
    **dict.fromkeys(("path", "out", "folder"), ("text",)),
    **dict.fromkeys(("compactness", "sigma", "until", "gamma", "kernel_width", "ridge", "deviations", "learning_rate"), _POSITIVE),
    **dict.fromkeys(("linewidth", "host_timeout", "max_sigma"), _POSITIVE),
    **dict.fromkeys(("epsilon", "stabilizer"), _POSITIVE),
    **dict.fromkeys(("low", "high"), _BOUNDS),
    **dict.fromkeys(("reference", "level"), _NUMBERS),
    **dict.fromkeys(("mean", "std", "baseline"), _SCALES),
    **dict.fromkeys(("channel_axis", "token"), ("a negative int", "None")),
    **dict.fromkeys(("example", "examples", "max_failures"), ("a negative int", "None")),
    **dict.fromkeys(("load.rows", "Attribution.getitem.rows", "Attribution.of_output.output"), ("a negative int",)),
    **dict.fromkeys(("features", "head", "target", "layers.model", "fast.model", "model.model", "text.response_model.model", "Game.value"), ("a function",)),
    "model.output": ("text", "empty text", "a lone surrogate", "an int of 400 digits", "an int beyond 32 bits", "a negative int", "a function", "a class"),
    **dict.fromkeys(("function", "score", "read"), ("a function", "a class")),
    **dict.fromkeys(("inputs", "source", "x_example", "scale.ExportedExplainer.call.x", "trees.Forest.call.x", "trees.Forest.codes.x"), ("rows of NaN",)),
    "shap.trees.x": ("rows of NaN",),  # missing values
    **dict.fromkeys([f"metrics.{name}.x" for name in _EXPLAINED_AGAIN], ("rows of NaN",)),  # which score NaN
    "radius": ("a fraction",),
    "callback.predict": ("a function",),
    "haiku.parameters": ("a dict",),
    "callback.output_shape": ("an empty list",),
    "callback.decode": ("a function", "a class"),
    "text.prompt.suffix": {"an empty list"},
    **dict.fromkeys(("text.prompt.names", "token_names"), ("strings",)),
    "text.spans.text": {"strings", "text", "a lone surrogate"},
    **dict.fromkeys(("text.cached.step", "empty_cache"), ("a function",)),
    "text.spans.decode": {"a function"},
    "scale.load_ids.rows": {"a negative int", "an empty list"},
    "Section.key": {"an int of 400 digits", "an int beyond 32 bits", "a negative int"},
    "options": {"a dict"},
    **dict.fromkeys(("percentile", "fraction", "max_distance"), ("a fraction",)),
    **dict.fromkeys(("gradient.smooth.scale", "metrics.infidelity.scale"), _POSITIVE),
    "metrics.infidelity.x": ("rows of NaN",),
    "metrics.road.percentiles": ("a long row",),
    "metrics.road.noise": ("a fraction", "an int beyond 32 bits"),
    "metrics.infidelity.contributions": ("True",),
    "fill": _FILLS,
    "signed": {"True"},
    "cam.several.relu": {"True"},
    "cam.one_pass.relu": {"True"},
    "column": {"a negative int"},
    "target.unit.index": {"a negative int"},
    "enabled": {"True"},
    "labels": {"a mixed list", "strings", "a list of None"},
    "categorical": {"an empty list", "a set", "no rows"},
    "split": {"text", "a lone surrogate"},
    "mask.background.rows": {"an array of five axes"},
    "mask.baseline.row": {"an array of five axes", "a long row"},
    "plot.intervals.values": {"a list of None"},
    "mask.tokens.part": _TEXTS,
    "tag.value": {*_FILLS, "NaN", "inf", "rows of NaN"},
    "scale.connect.hosts": {"None"},
    "scale.AttributionSummary.init.shape": {"an empty list"},
    **dict.fromkeys(("metrics.sufficiency.shares", "metrics.comprehensiveness.shares"), ("a long row",)),
    "scale.AttributionSummary.quantiles.shares": {"True", "an empty list", "a long row"},
}  # fmt: skip


def is_legal(name, parameter, declared, kind):
    """Returns whether a value is right for an argument."""
    value = WRONG[kind]
    if value is None and declared.default is None:
        return True
    if value is True and isinstance(declared.default, bool):
        return True
    return kind in LEGAL.get(f"{name}.{parameter}", LEGAL.get(parameter, ()))


def wrong_values(name, function):
    """Yields (parameter, kind of the wrong value, whether it is legal) for all arguments of a function."""
    for parameter, declared in inspect.signature(function).parameters.items():
        if declared.kind not in (declared.VAR_POSITIONAL, declared.VAR_KEYWORD):
            yield from ((parameter, kind, is_legal(name, parameter, declared, kind)) for kind in WRONG)

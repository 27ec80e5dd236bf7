"""Warnings of what makes an explanation doubtful, in sentences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xaijax._core.attribution import Interactions
from xaijax._core.words import Z, counted, examples, number
from xaijax._report._explained import Explained, fidelity, sums_to_output, total

LOW_FIDELITY = 0.5  # R²: below it, the surrogate misses more of the output's variation than it explains
LOW_STABILITY = 0.5  # a probability: below it, another draw would more likely rank other players highest
STRONGEST = 3  # values of each example whose intervals are checked: those that a reader remembers


def warnings_of(reported: Explained) -> list[str]:
    """Returns every warning that applies, the most serious first."""
    checks: list[Callable[[Explained], list[str]]] = [
        _not_finite,
        _efficiency,
        _fidelity,
        _unseen,
        _cap,
        _wide,
        _pairs,
        _stability,
    ]
    return [sentence for check in checks for sentence in check(reported)]


def checks_of(reported: Explained) -> list[str]:
    """Returns the checks that were made, where there is no warning."""
    r_squared, held_out, stable = fidelity(reported.attribution)
    made = {
        "all values are finite": True,
        "the values sum to the output minus the base value": sums_to_output(reported),
        f"R² is at least {LOW_FIDELITY}": r_squared is not None,
        f"held-out R² is at least {LOW_FIDELITY}": held_out is not None,
        "the precision asked for was reached": reported.attribution.converged is not None,
        f"no interval of the {STRONGEST} strongest values of an example includes 0 or is wider than its value": (
            reported.errors is not None
        ),
        f"another draw would rank the same players highest with a probability of at least {LOW_STABILITY}": (
            stable is not None
        ),
        "every condition and category occurs in the training data": _unseen_of(reported) is not None,
    }
    return [sentence for sentence, applies in made.items() if applies]


def _not_finite(reported: Explained) -> list[str]:
    bad = ~reported.finite
    if not bad.any():
        return []
    return [
        f"Not finite: {examples(bad)} of this section {_has(bad)} values or an output that are NaN or infinite. They are "
        "left out of all plots and means. Look at the inputs."
    ]


def _efficiency(reported: Explained) -> list[str]:
    if not sums_to_output(reported):
        return []
    base, output = (np.asarray(field) for field in (reported.attribution.base_value, reported.attribution.output))
    summed, sizes = total(reported)
    gaps = np.abs(base + summed - output)
    allowed = reported.tolerance * (sizes + np.abs(base) + np.abs(output))
    if reported.errors is not None and not isinstance(reported.attribution, Interactions):
        # Sampled values may sum to the output up to their errors only, of which the sum is an upper bound.
        allowed = allowed + Z * np.nan_to_num(reported.errors, posinf=0).reshape(reported.num_examples, -1).sum(axis=1)
    bad = (gaps > allowed) & reported.finite
    if not bad.any():
        return []
    return [
        f"Efficiency gap: base value and values do not sum to the output for {examples(bad)} (largest gap "
        f"{number(gaps[bad].max())}), more than rounding error. Part of the output is not attributed to any player."
    ]


def _fidelity(reported: Explained) -> list[str]:
    r_squared, held_out, _ = fidelity(reported.attribution)
    warnings = []
    low = np.zeros(reported.num_examples, bool)
    if r_squared is not None:
        low = r_squared < LOW_FIDELITY
        if low.any():
            warnings.append(
                f"Low local fidelity: the surrogate's R² is below {LOW_FIDELITY} for {examples(low)} (lowest "
                f"{number(r_squared[low].min())}). It misses most of the output's variation around the input, so that its "
                "values say little about the model."
            )
    if held_out is not None:
        fitted = (held_out < LOW_FIDELITY) & ~low
        if fitted.any():
            warnings.append(
                f"Low held-out fidelity: R² on samples outside the fit is below {LOW_FIDELITY} for "
                f"{examples(fitted)} (lowest {number(held_out[fitted].min())}). The surrogate overfits its samples: draw "
                "more, or ask for fewer features."
            )
    return warnings


def _unseen_of(reported: Explained) -> np.ndarray | None:
    """Returns which features [N, M] have a bin, category or constant value that no training row has, where known."""
    unseen = getattr(reported.attribution, "unseen", None)
    return None if unseen is None else np.asarray(unseen, bool).reshape(reported.num_examples, -1)


def _unseen(reported: Explained) -> list[str]:
    unseen = _unseen_of(reported)
    if unseen is None or not unseen.any():
        return []
    where = f"{counted(int(unseen.sum()), 'feature')} of {examples(np.asarray(unseen.any(axis=1)))}"
    return [
        f"Unseen in training: no training row has the bin, category or constant value of {where}. These values are "
        "extrapolations that the training data do not support."
    ]


def _cap(reported: Explained) -> list[str]:
    converged = reported.attribution.converged
    if converged is None:
        return []
    missed = np.logical_not(np.asarray(converged, bool))
    if not missed.any():
        return []
    return [
        f"Cap reached: the precision asked for was not reached for {examples(missed)} before the largest "
        "number of evaluations. Their intervals are wider than requested."
    ]


def _wide(reported: Explained) -> list[str]:
    if reported.errors is None:
        return []
    values, errors = (part.reshape(reported.num_examples, -1) for part in (reported.values, reported.errors))
    return _wide_of(np.where(reported.finite[:, None], values, 0), errors, "value")


def _pairs(reported: Explained) -> list[str]:
    attribution = reported.attribution
    if not isinstance(attribution, Interactions) or attribution.pair_errors is None:
        return []
    first, second = np.triu_indices(reported.values.shape[1], k=1)
    pairs, errors = (np.asarray(part)[:, first, second] for part in (attribution.pairs, attribution.pair_errors))
    return _wide_of(np.where(reported.finite[:, None], pairs, 0), errors, "pair")


def _wide_of(values: np.ndarray, errors: np.ndarray, noun: str) -> list[str]:
    """Returns warnings of the strongest values of each row, of values [N, M] and their standard errors."""
    warnings = []
    unknown = (~np.isfinite(errors) & (values != 0)).any(axis=1)
    if unknown.any():
        warnings.append(
            f"Unknown intervals: there are too few samples to estimate the standard errors of {noun}s of "
            f"{examples(unknown)}."
        )
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :STRONGEST]
    sizes, halves = (np.take_along_axis(part, order, axis=1) for part in (np.abs(values), Z * errors))
    looked_at = (sizes > 0) & np.isfinite(halves)
    with_zero = looked_at & (halves >= sizes)
    wider = looked_at & (2 * halves > sizes) & ~with_zero
    if (with_zero | wider).any():
        parts, uncertain = [], np.asarray((with_zero | wider).any(axis=1))
        if with_zero.any():
            parts.append(
                f"{with_zero.sum():,} {'include' if with_zero.sum() > 1 else 'includes'} 0, so that the sign is unknown"
            )
        if wider.any():
            parts.append(f"{wider.sum():,} {'are' if wider.sum() > 1 else 'is'} wider than the {noun} itself")
        warnings.append(
            f"Wide intervals: of the 95 % intervals of {counted(int(looked_at.sum()), f'strongest {noun}')} (up to "
            f"{STRONGEST} of each example), {' and '.join(parts)} ({examples(uncertain)}). More "
            "evaluations narrow them."
        )
    return warnings


def _stability(reported: Explained) -> list[str]:
    _, _, stable = fidelity(reported.attribution)
    if stable is None:
        return []
    warnings = []
    low = stable < LOW_STABILITY
    if low.any():
        warnings.append(
            f"Unstable choice: the probability that another draw of samples ranks the same players highest is below "
            f"{LOW_STABILITY} for {examples(low)} (lowest {number(stable[low].min())})."
        )
    if np.isnan(stable).any():
        warnings.append(
            f"Unknown stability: there are too few samples to estimate whether another draw would rank the same players "
            f"highest for {examples(np.isnan(stable))}."
        )
    return warnings


def _has(chosen: np.ndarray) -> str:
    return "has" if chosen.sum() == 1 else "have"

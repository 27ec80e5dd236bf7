"""What makes an explanation doubtful, in sentences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xaijax._core.attribution import Interactions
from xaijax._report._explained import Explained, fidelity
from xaijax._report._sums import sums_to_output, total
from xaijax._report._words import Z, counted, examples, number

LOW_FIDELITY = 0.5  # R²: below, the surrogate misses more of the output's variation than it tells
LOW_STABILITY = 0.5  # a probability: below, another draw would more likely find other players
STRONGEST = 3  # values of each example whose intervals are looked at: those that a reader remembers


def warnings_of(one: Explained) -> list[str]:
    """Every warning that applies, the gravest first."""
    checks: list[Callable[[Explained], list[str]]] = [
        _not_finite,
        _efficiency,
        _fidelity,
        _cap,
        _wide,
        _pairs,
        _stability,
    ]
    return [sentence for check in checks for sentence in check(one)]


def checks_of(one: Explained) -> list[str]:
    """What was looked at and found in order, where there is no warning."""
    r_squared, held_out, stable = fidelity(one.attribution)
    made = {
        "all values are finite": True,
        "the values sum to the output minus the base value": sums_to_output(one),
        f"R² is at least {LOW_FIDELITY}": r_squared is not None,
        f"held-out R² is at least {LOW_FIDELITY}": held_out is not None,
        "the precision asked for was reached": one.attribution.converged is not None,
        f"no interval of the {STRONGEST} strongest values of an example includes 0 or is wider than its value": (
            one.errors is not None
        ),
        f"another draw would find the same strongest players with a probability of at least {LOW_STABILITY}": (
            stable is not None
        ),
    }
    return [sentence for sentence, applies in made.items() if applies]


def _not_finite(one: Explained) -> list[str]:
    bad = ~one.finite
    if not bad.any():
        return []
    return [
        f"Not finite: {examples(bad)} of this section {_has(bad)} values or an output that are NaN or infinite. Look at the "
        "inputs. They are in no picture and in no mean."
    ]


def _efficiency(one: Explained) -> list[str]:
    if not sums_to_output(one):
        return []
    base, output = (np.asarray(field) for field in (one.attribution.base_value, one.attribution.output))
    summed, sizes = total(one)
    gaps = np.abs(base + summed - output)
    allowed = one.rounding * (sizes + np.abs(base) + np.abs(output))
    if "expected gradients" in one.attribution.method and one.errors is not None:
        # Sampled values sum to the output up to their errors, whose sum is at most the sum of each.
        allowed = allowed + Z * one.errors.reshape(one.num_examples, -1).sum(axis=1)
    bad = (gaps > allowed) & one.finite
    if not bad.any():
        return []
    return [
        f"Efficiency gap: base value and values do not sum to the output for {examples(bad)} (largest gap "
        f"{number(gaps[bad].max())}), more than rounding explains. Part of the output is not attributed to anybody."
    ]


def _fidelity(one: Explained) -> list[str]:
    r_squared, held_out, _ = fidelity(one.attribution)
    found = []
    low = np.zeros(one.num_examples, bool)
    if r_squared is not None:
        low = r_squared < LOW_FIDELITY
        if low.any():
            found.append(
                f"Low local fidelity: the surrogate's R² is below {LOW_FIDELITY} for {examples(low)} (lowest "
                f"{number(r_squared[low].min())}). It misses most of how the output varies around the input, so that its "
                "values say little of the model."
            )
    if held_out is not None:
        fitted = (held_out < LOW_FIDELITY) & ~low
        if fitted.any():
            found.append(
                f"Low held-out fidelity: R² on samples that the fit has not seen is below {LOW_FIDELITY} for "
                f"{examples(fitted)} (lowest {number(held_out[fitted].min())}). The surrogate fits its samples better than "
                "the model: draw more, or ask for fewer features."
            )
    return found


def _cap(one: Explained) -> list[str]:
    converged = one.attribution.converged
    if converged is None:
        return []
    missed = np.logical_not(np.asarray(converged, bool))
    if not missed.any():
        return []
    return [
        f"Cap reached: the precision asked for was not reached for {examples(missed)} before the largest "
        "number of evaluations. Their intervals are wider than wished."
    ]


def _wide(one: Explained) -> list[str]:
    if one.errors is None:
        return []
    values, errors = (part.reshape(one.num_examples, -1) for part in (one.values, one.errors))
    return _wide_of(np.where(one.finite[:, None], values, 0), errors, "value")


def _pairs(one: Explained) -> list[str]:
    found = one.attribution
    if not isinstance(found, Interactions) or found.pair_errors is None:
        return []
    first, second = np.triu_indices(one.values.shape[1], k=1)
    pairs, errors = (np.asarray(part)[:, first, second] for part in (found.pairs, found.pair_errors))
    return _wide_of(np.where(one.finite[:, None], pairs, 0), errors, "pair")


def _wide_of(values: np.ndarray, errors: np.ndarray, noun: str) -> list[str]:
    """Of [N, M] values and their standard errors, the strongest of each row."""
    found = []
    unknown = (~np.isfinite(errors) & (values != 0)).any(axis=1)
    if unknown.any():
        found.append(
            f"Unknown intervals: there are too few samples to estimate the standard errors of {noun}s of "
            f"{examples(unknown)}."
        )
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :STRONGEST]
    sizes, halves = (np.take_along_axis(part, order, axis=1) for part in (np.abs(values), Z * errors))
    looked_at = (sizes > 0) & np.isfinite(halves)
    with_zero = looked_at & (halves >= sizes)
    wider = looked_at & (2 * halves > sizes) & ~with_zero
    if (with_zero | wider).any():
        parts = []
        if with_zero.any():
            parts.append(
                f"{with_zero.sum():,} {'include' if with_zero.sum() > 1 else 'includes'} 0, so that the sign is not known"
            )
        if wider.any():
            parts.append(f"{wider.sum():,} {'are' if wider.sum() > 1 else 'is'} wider than the {noun} itself")
        found.append(
            f"Wide intervals: of the 95 % intervals of {counted(int(looked_at.sum()), f'strongest {noun}')} (up to "
            f"{STRONGEST} of each example), {' and '.join(parts)} ({examples(np.any(with_zero | wider, axis=1))}). More "
            "evaluations narrow them."
        )
    return found


def _stability(one: Explained) -> list[str]:
    _, _, stable = fidelity(one.attribution)
    if stable is None:
        return []
    found = []
    low = stable < LOW_STABILITY
    if low.any():
        found.append(
            f"Unstable choice: the probability that another draw of samples finds the same players strongest is below "
            f"{LOW_STABILITY} for {examples(low)} (lowest {number(stable[low].min())})."
        )
    if np.isnan(stable).any():
        found.append(
            f"Unknown stability: there are too few samples to say whether another draw would find the same players "
            f"strongest for {examples(np.isnan(stable))}."
        )
    return found


def _has(chosen: np.ndarray) -> str:
    return "has" if chosen.sum() == 1 else "have"

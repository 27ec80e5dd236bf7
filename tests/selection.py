"""Which cases of a table run with every change, and which before a release only."""

import pytest


def usual(cases, *kept):
    """All cases, of which those that are not in `kept` are slow: they run before a release, with -m slow."""
    unknown = [case for case in kept if case not in cases]
    assert not unknown, f"{unknown} are no cases of {list(cases)}"
    return [pytest.param(case, marks=() if case in kept else pytest.mark.slow) for case in cases]

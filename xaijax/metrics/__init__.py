"""Is an explanation true to the model? Numbers for attributions, from the games that they explain."""

from xaijax.metrics._curves import Curve, deletion, insertion

__all__ = ["Curve", "deletion", "insertion"]

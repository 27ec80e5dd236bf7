"""Class activation maps: where in the input a network finds what speaks for a class."""

from xaijax.cam._cam import cam
from xaijax.cam._grad_cam import grad_cam

__all__ = ["cam", "grad_cam"]

"""Segmentation: images cut into superpixels on the device, inside the compiled program."""

from xaijax.segment._slic import slic

__all__ = ["slic"]

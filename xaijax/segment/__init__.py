"""Segmentation: images cut into superpixels on the device, inside the compiled program."""

from xaijax.segment._slic import slic

__all__ = ["slic"]


def __dir__() -> list[str]:
    return __all__

"""What pytorch-grad-cam asks of torchvision while it is imported; its maps use none of it."""

import importlib.machinery
import importlib.util
import sys
import types
from typing import Any


def install() -> None:
    """Puts a stand-in where torchvision is not installed: it is large, and bound to one version of torch."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return
    torchvision: Any
    transforms: Any
    functional: Any
    torchvision, transforms, functional = (
        types.ModuleType(name)
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    )
    torchvision.transforms, transforms.functional = transforms, functional
    for name in ("Compose", "Normalize", "ToTensor"):
        setattr(transforms, name, _missing(name))
    functional.resize = _missing("resize")
    for module in (torchvision, transforms, functional):
        # Others ask whether there is a torchvision with find_spec, which wants one.
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, loader=None)
        sys.modules[module.__name__] = module


def _missing(name: str) -> Any:
    def transform(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"torchvision is not installed, so there is no {name}.")

    return transform

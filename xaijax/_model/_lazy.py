"""Imports a framework when an adapter needs it first: frameworks are no dependencies, and some take seconds."""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """Stands for a module that is imported at the first access to an attribute.

    name: of the module. install: what its users have to do if it cannot be imported.
    """

    def __init__(self, name: str, install: str):
        self._name, self._install = name, install

    def __getattr__(self, attribute: str) -> Any:
        try:
            module = importlib.import_module(self._name)
        except ImportError as error:
            raise ImportError(f"xai.{self._name} needs the package {self._name}: {self._install}.") from error
        return getattr(module, attribute)

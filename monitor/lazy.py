"""Public faces of packages whose parts are loaded when first used, so that light commands start fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class _Part:
    """A public name: found in its module when asked for."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __get__(self, face: ModuleType | None, kind: type[ModuleType]) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

    def __set__(self, face: ModuleType, value: Any) -> None:
        # The import system binds each submodule to its package: where both share a name, such as
        # `estimate`, the public name stays what the package says it is.
        if not isinstance(value, ModuleType):
            raise AttributeError(f"{face.__name__}.{self._name} cannot be set")  # noqa: TRY004


def load_on_first_use(package: str, parts: Mapping[str, str]) -> None:
    """Give a package public names that are imported from its parts only when they are asked for.

    Parameters
    ----------
    package
        `__name__` of the package, called from its `__init__`.
    parts
        Public name → module inside the package that defines it.
    """
    module = sys.modules[package]
    names = {name: _Part(f"{package}.{part}", name) for name, part in parts.items()}
    module.__class__ = type("LazyPackage", (type(module),), names)

"""What serves a model: one module an engine, all of the shape `base.Engine`."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from eke.errors import UnknownName
from eke.runtime.engines.base import Engine

NAMES = ("llamacpp", "mock")


def engine(name: str) -> Engine:
    """The engine of that name.

    Raises:
        UnknownName: with the near names.
    """
    if name not in NAMES:
        raise UnknownName("engine", name, NAMES)
    return cast(Engine, import_module(f"eke.runtime.engines.{name}"))

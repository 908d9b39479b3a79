"""Eke: make the accelerators you own last."""

__version__ = "0.1.0"

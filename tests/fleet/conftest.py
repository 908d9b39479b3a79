"""What the fleet's tests share: outputs of vendors' tools, written for these tests in the tools' own layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def sample() -> Callable[[str], str]:
    """Text of a fixture by its file name."""
    return lambda name: (FIXTURES / name).read_text("utf-8")

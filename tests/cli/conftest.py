"""What tests of several verbs share."""

from __future__ import annotations

import pytest
from tests.plan.scenarios import STEADY


@pytest.fixture(scope="session")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small scenario, the same all day, as a file."""
    file = tmp_path_factory.mktemp("scenario") / "small.yaml"
    file.write_text(STEADY)
    return str(file)

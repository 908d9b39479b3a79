"""The error tree says what, why and what to try, and ends in the documented exit status."""

from __future__ import annotations

import pytest

from eke import errors


def all_errors() -> list[type[errors.EkeError]]:
    return [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.EkeError)]


@pytest.mark.parametrize("error", all_errors(), ids=lambda e: e.__name__)
def test_the_drawn_tree_names_every_error_with_its_exit_status(error: type[errors.EkeError]) -> None:
    """The picture at the top of errors.py lists every class, and its exit status where one is drawn."""
    line = next(line for line in (errors.__doc__ or "").splitlines() if error.__name__ in line)
    if "exit" in line:
        assert f"exit {error.exit_code}" in line


def test_an_unknown_name_offers_the_nearest() -> None:
    """A typing mistake is answered with the name that was probably meant."""
    error = errors.UnknownName("chip", "h800-smx", ["H800-SXM", "H20-96", "T4"])
    assert "H800-SXM" in error.why
    assert error.remedy == "use 'H800-SXM'"
    assert error.exit_code == 64


def test_a_message_holds_its_three_parts() -> None:
    """Printed plainly, an error still says what, why and what to try."""
    text = str(errors.EkeError("8 chips asked, 4 owned", why="the pool has one node", remedy="ask for 4"))
    assert text.splitlines() == ["8 chips asked, 4 owned", "the pool has one node", "Try: ask for 4"]

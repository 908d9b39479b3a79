"""Shapes in the words of config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eke.errors import InputError, UnknownName
from eke.models import catalogue
from eke.training import shape

TINY = json.loads((shape.SHIPPED / "tiny.json").read_text())


def test_tiny_is_what_the_catalogue_says() -> None:
    """The model that is trained and the model that is planned are the same one, to the last parameter."""
    ours, planned = shape.read("tiny"), catalogue.architecture("tiny")
    assert ours.parameters == planned.parameters == 4_787_456
    assert (ours.hidden_size, ours.num_hidden_layers) == (planned.hidden, planned.layers)
    assert planned.vocabulary == shape.BYTES
    assert planned.max_context == ours.max_position_embeddings
    assert {b.feed_forward.matrices for b in planned.blocks} == {2}


def test_a_config_file_or_its_folder_is_read(tmp_path: Path) -> None:
    """A path works where a name does."""
    (tmp_path / "config.json").write_text(json.dumps(TINY | {"hidden_size": 128, "head_dim": 32}))
    assert shape.read(str(tmp_path)) == shape.read(str(tmp_path / "config.json"))
    assert shape.read(str(tmp_path)).hidden_size == 128


def test_an_unknown_name_is_refused() -> None:
    """A near name is offered."""
    with pytest.raises(UnknownName, match="tiny"):
        shape.read("tinny")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "llama"}, "model_type"),
        ({"vocab_size": 32000}, "vocab_size"),
        ({"num_key_value_heads": 1}, "1 for keys"),
        ({"num_attention_heads": 7}, "7 heads"),
        ({"head_dim": 32}, "do not share out"),
        ({"hidden_size": "wide"}, "hidden_size"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, Any], named: str) -> None:
    """The key that says so is named."""
    with pytest.raises(InputError, match=named):
        shape.parse(TINY | change, "config.json")

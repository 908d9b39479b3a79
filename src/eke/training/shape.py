"""The shape of a model the trainer can build, in the words of a Hugging Face `config.json`. Knows no weights, no torch.

`tiny.json` beside this file is the one model Eke trains out of the box. The block is Arcee's: RMSNorm, rotary
positions, causal attention with as many key heads as query heads, and a feed-forward of two matrices with a squared
ReLU between them. Tokens are bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from eke.errors import InputError, UnknownName

BYTES = 256
SHIPPED = Path(__file__).parent
_FIXED = {
    "model_type": "arcee", "hidden_act": "relu2", "vocab_size": BYTES, "mlp_bias": False, "attention_bias": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """A byte-level GPT, in the words of its `config.json`."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def parameters(self) -> int:
        """All weights, norms included."""
        h = self.hidden_size
        block = 4 * h * h + 2 * h * self.intermediate_size + 2 * h
        return self.num_hidden_layers * block + h + BYTES * h * (1 if self.tie_word_embeddings else 2)


def names() -> list[str]:
    """Models that can be trained by name."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def read(model: str) -> Shape:
    """The shape of a model by its name, or by the path of its `config.json` (or of the folder that holds one)."""
    path = SHIPPED / f"{model.casefold()}.json"
    if "/" in model or "." in model:
        path = Path(model) / "config.json" if Path(model).is_dir() else Path(model)
    if not path.is_file():
        raise UnknownName("model to train", model, names(), remedy="use 'tiny', or the path of a config.json")
    return parse(json.loads(path.read_text()), str(path))


def parse(config: Mapping[str, Any], source: str) -> Shape:
    """The shape `config` describes.

    Raises:
        InputError: the trainer cannot build this kind of model; the key that says so is named.
    """
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            raise InputError(
                f"{source}: {key} is {config[key]!r}, and the trainer builds only {value!r}",
                remedy="start from the config of 'tiny' and change its sizes",
            )
    known = {key: config[key] for key in Shape.__dataclass_fields__ if key in config}
    try:
        shape = TypeAdapter(Shape).validate_python(known)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    heads, kv_heads = shape.num_attention_heads, config.get("num_key_value_heads", shape.num_attention_heads)
    if shape.hidden_size % (2 * heads) or kv_heads != heads or config.get("head_dim", shape.head_dim) != shape.head_dim:
        raise InputError(
            f"{source}: {heads} heads ({kv_heads} for keys) do not share out {shape.hidden_size} channels evenly",
            remedy="hidden_size = num_attention_heads × head_dim, head_dim even, num_key_value_heads the same",
        )
    return shape

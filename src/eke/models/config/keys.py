"""Reading keys of a `config.json`: one meaning, many spellings. Knows types and ranges, no model.

A missing or impossible value is an `InputError` that names the key, what it is for, and the other spellings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eke.errors import InputError

_TEXT = ("text_config", "language_config", "llm_config", "thinker_config")


@dataclass(frozen=True, slots=True)
class Keys:
    """A configuration and the name it goes by in messages."""

    config: Mapping[str, Any]
    name: str

    @property
    def model_type(self) -> str:
        """`model_type`, or an empty string."""
        return str(self.config.get("model_type") or "")

    def get(self, *names: str) -> Any:
        """The first of `names` that is there and not null, else None."""
        return next((self.config[n] for n in names if self.config.get(n) is not None), None)

    def flag(self, *names: str, default: bool = False) -> bool:
        """A boolean key."""
        value = self.get(*names)
        return default if value is None else bool(value)

    def whole(self, *names: str, default: int = 0, layer: int | None = None) -> int:
        """A whole number that may be missing; where it is a list, the entry of `layer`."""
        value = self.get(*names)
        if isinstance(value, list) and layer is not None:
            value = self.per_layer(names[0], value)[layer]
        return default if value is None else self._number(names[0], value, least=0)

    def need(self, *names: str, use: str, layer: int | None = None) -> int:
        """A positive whole number that must be there; `use` says what for."""
        value = self.get(*names)
        if isinstance(value, list) and layer is not None:
            value = self.per_layer(names[0], value)[layer]
        if value is None:
            raise self.missing(*names, use=use)
        return self._number(names[0], value, least=1)

    def per_layer(self, name: str, value: Sequence[Any]) -> Sequence[Any]:
        """`value`, if it has one entry a layer."""
        layers = self.layers
        if len(value) < layers:
            raise InputError(
                f"{self.name}: `{name}` has {len(value)} entries for {layers} layers",
                remedy=f"give `{name}` one entry for each of `num_hidden_layers`",
            )
        return value

    @property
    def layers(self) -> int:
        """Blocks, top to bottom; counted from a pattern when the key itself is missing."""
        pattern = self.get("hybrid_override_pattern", "layers_block_type", "layer_types")
        if self.get(*_LAYERS) is None and pattern is not None:
            return len(pattern)
        return self.need(*_LAYERS, use="how many blocks the model has")

    def missing(self, *names: str, use: str) -> InputError:
        """The error for a key that is not there."""
        spellings = f" (or {', '.join(f'`{n}`' for n in names[1:])})" if names[1:] else ""
        return InputError(
            f"{self.name}: config.json lacks `{names[0]}`{spellings}",
            why=f"It says {use}; without it nothing can be planned.",
            remedy=f"add `{names[0]}` from the model's published config.json",
        )

    def _number(self, name: str, value: Any, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < least:
            raise InputError(
                f"{self.name}: `{name}` is {value!r}, not a whole number of at least {least}",
                remedy=f"give `{name}` as the model's published config.json has it",
            )
        return int(value)


_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


def text_keys(config: object, name: str) -> Keys:
    """Keys of the language model in `config`; a nested `text_config` wins over the top level."""
    if not isinstance(config, Mapping):
        raise InputError(
            f"{name}: a config.json holds one object, not {type(config).__name__}",
            remedy="give the config.json of a language model as Hugging Face publishes it",
        )
    nested = next((config[k] for k in _TEXT if isinstance(config.get(k), Mapping)), None)
    if nested is None:
        return Keys(config, name)
    if isinstance(nested.get("text_config"), Mapping):  # thinker_config nests once more
        nested = nested["text_config"]
    outer = {k: v for k, v in config.items() if k not in _TEXT}
    return Keys(outer | {k: v for k, v in nested.items() if v is not None}, name)

"""YAML text to plain values: quickly, where libyaml is there, and strictly: a key said twice is an error."""

from __future__ import annotations

import re
from typing import Any

import yaml

from eke.errors import InputError

_SAID = re.compile(r"\] \([^)]*\)")
_PART = re.compile(r"\[\d+\]|[^.\[\]]+")
MERGE = "tag:yaml.org,2002:merge"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe values only; a table may say a key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise InputError(
                    f"{key.value!r} on line {line} is there already",
                    why=f"the same table says it on line {lines[key.value]}",
                    remedy="keep one of them",
                )
            lines[key.value] = line
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def line(text: str, path: str) -> int | None:
    """The line of a key by its path (`workloads[0] (chat).slo.ttft`), or of the innermost key on the way that there is;
    None: of none.
    """
    try:
        node, found = yaml.compose(text, Loader=_Loader), None
    except yaml.YAMLError:
        return None
    for part in _PART.findall(_SAID.sub("]", path)):
        if part.startswith("[") and isinstance(node, yaml.SequenceNode) and int(part[1:-1]) < len(node.value):
            node = node.value[int(part[1:-1])]
            found = node.start_mark.line + 1
            continue
        keys = {k.value: (k, v) for k, v in node.value} if isinstance(node, yaml.MappingNode) else {}
        if part not in keys:
            break
        key, node = keys[part]
        found = key.start_mark.line + 1
    return found


def read(text: str) -> Any:
    """What the text says: tables, lists, texts and numbers.

    Raises:
        InputError: a table says a key twice; both lines are named.
        yaml.YAMLError, ValueError: it is not YAML.
    """
    return yaml.load(text, Loader=_Loader)

"""What is wrong in a scenario, in a user's words: the key, what stands there, what was expected, an example that works.

It knows Pydantic's errors and the sections; it reads no file and looks up no names.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, get_args

from eke import document
from eke.errors import InputError
from eke.plan.sections import (
    WORKLOADS,
    FleetSection,
    GenerationsSection,
    InlineChip,
    LengthsSection,
    PoolSection,
    Section,
    SloSection,
    Top,
    TrafficSection,
)  # fmt: skip

Path = tuple[str | int, ...]  # keys, and places in lists

EXPECTED = {  # by Pydantic's type of error; the braces are filled from its context
    "list_type": "is not a list",
    "tuple_type": "is not a list",
    "dict_type": "is not a table",
    "model_type": "is not a table",
    "model_attributes_type": "is not a table",
    "string_type": "is not text",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "finite_number": "is not a finite number",
    "literal_error": "is not {expected}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "is empty",
    "invalid_key": "is not a key",
    "too_long": "has too many entries: at most {max_length}",
}
# Where keys belong, for those found in the wrong place.
PLACES: tuple[tuple[str, type[Section]], ...] = (
    ("the top of the file", Top), ("fleet", FleetSection), ("a pool of fleet.pools", PoolSection),
    *((f"a {kind} workload", section) for kind, section in WORKLOADS.items()),
    ("a workload's traffic", TrafficSection), ("a workload's slo", SloSection), ("lengths", LengthsSection),
    ("generations", GenerationsSection), ("an inline chip", InlineChip),
)  # fmt: skip
SHOWN = 60  # characters of a value that are told


def placed(error: InputError, text: str) -> InputError:
    """The error with the line of `text` that the key it begins with stands on."""
    if line := document.line(text, error.what.split(": ", 1)[0]):
        error.what = f"line {line}: {error.what}"
        error.args = (error.what,)
    return error


def together(wrong: Sequence[InputError], file: FilePath | None = None) -> InputError:
    """One error for all of them: the one itself when there is one, else a list."""
    if len(wrong) == 1 and file is not None:
        wrong[0].what = f"{file}, {wrong[0].what}"
        wrong[0].args = (wrong[0].what,)
    if len(wrong) == 1:
        return wrong[0]
    lines = [f"{e.what}{f' ({e.why})' if e.why else ''}{f'; try {e.remedy}' if e.remedy else ''}" for e in wrong]
    return InputError(
        f"{len(wrong)} things are wrong in {file or 'the scenario'}", why="\n".join(f"- {line}" for line in lines)
    )


def found(model: type[Section], errors: Sequence[Any], where: str) -> list[InputError]:
    """Pydantic's errors about `model`, which stands at `where`, one for each mistake.

    A key that may be written in several ways gives an error for each; kept are those about the way that was tried. A
    misspelt key is one mistake, not one too many and one missing.
    """
    at: dict[Path, list[Any]] = {}
    for error in errors:
        at.setdefault(_path(error), []).append(error)
    innermost = {path: e for path, e in at.items() if not any(p[: len(path)] == path != p for p in at)}
    meant = {(*path[:-1], _meant(model, path)) for path, e in innermost.items() if e[0]["type"] == "extra_forbidden"}
    return [
        _explained(model, path, _one(some), where)
        for path, some in innermost.items()
        if some[0]["type"] != "missing" or path not in meant
    ]


def _one(errors: Sequence[Any]) -> Any:
    """One error for several at one key: a value out of bounds, else one that is nothing that may stand there."""
    bounds = next((e for e in errors if "must be" in e["msg"]), None)
    return bounds or (errors[0] if len(errors) == 1 else {**errors[0], "type": "union"})


def shown(value: object) -> str:
    """A value as it stands in the file, on one line, cut where it is long."""
    match value:
        case None:
            text = "nothing"
        case bool():
            text = str(value).lower()
        case dict():
            text = f"{{{', '.join(f'{k}: {_inside(v)}' for k, v in value.items())}}}"
        case list() | tuple():
            text = f"[{', '.join(map(_inside, value))}]"
        case float():
            text = f"{value:g}"
        case _:
            text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 2]} …"


def _inside(value: object) -> str:
    """A value within another."""
    return value if isinstance(value, str) else "" if value is None else shown(value)


def _path(error: Any) -> Path:
    """The keys to where an error is, without the names of the types that Pydantic tried."""
    *inner, last = error["loc"] or ("",)
    kept = [p for p in inner if not _is_type(p)]
    return tuple(kept if _is_type(last) and error["type"] != "extra_forbidden" else [*kept, last])


def _is_type(part: object) -> bool:
    return isinstance(part, str) and (part in {"str", "InlineChip", "float"} or "[" in part)


def _explained(model: type[Section], path: Path, error: Any, where: str) -> InputError:
    at = where
    for part in path:
        at += f"[{part}]" if isinstance(part, int) else f".{part}" if at else str(part)
    holder = _holder(model, path)
    if error["type"] == "extra_forbidden":
        return InputError(f"{at}: no such key", why=_known(holder, str(path[-1])))
    example, says = _example(model, path)
    if error["type"] == "missing":
        return InputError(f"{at}: is missing", remedy=example)
    value = error["input"]
    if error["type"] == "union" or (says and error["type"] in EXPECTED):
        return InputError(f"{at}: {shown(value)} is not {says}", remedy=example)
    if error["type"] == "value_error":
        said = str(error["msg"]).removeprefix("Value error, ")
        return InputError(f"{at}: {said}", remedy="" if "as in" in said else example)
    if value is None:
        return InputError(f"{at}: is empty", remedy=example)
    told = EXPECTED.get(error["type"], f"is wrong: {error['msg']}").format(**error.get("ctx", {}))
    return InputError(f"{at}: {told}" if value == [] else f"{at}: {shown(value)} {told}", remedy=example)


def _known(holder: type[Section], key: str) -> str:
    """Where this key belongs, or which was meant, or which there are."""
    if homes := [place for place, section in PLACES if key in section.model_fields]:
        return f"it belongs in {' or '.join(homes)}"
    if near := difflib.get_close_matches(key, holder.model_fields, n=3, cutoff=0.6):
        return f"near: {', '.join(near)}"
    return f"known: {', '.join(holder.model_fields)}"


def _meant(model: type[Section], path: Path) -> str:
    """The key most like the one at the end of `path`."""
    near = difflib.get_close_matches(str(path[-1]), _holder(model, path).model_fields, n=1, cutoff=0.6)
    return near[0] if near else ""


def _example(model: type[Section], path: Path) -> tuple[str, str]:
    """An example of the innermost key of `path` that has one, and what that key takes where it takes several things."""
    for end in range(len(path), 0, -1):
        key = path[end - 1]
        field = _holder(model, path[:end]).model_fields.get(key) if isinstance(key, str) else None
        if field is not None and field.examples:
            return f"{key}: {field.examples[0]}", field.description or "" if end == len(path) else ""
    return "", ""


def _holder(model: type[Section], path: Path) -> type[Section]:
    """The section whose key `path` ends in."""
    for part in path[:-1]:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = next(iter(_sections(field.annotation)), model)
    return model


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [s for a in get_args(annotation) for s in _sections(a)]

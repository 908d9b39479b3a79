"""JSON Schema of a scenario file, for editors that complete and check YAML. It says what `sections` says."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from eke.plan.sections import WORKLOADS, FleetSection, Top

ID = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12)."""
    models = [(model, "validation") for model in (Top, FleetSection, *WORKLOADS.values())]
    _, document = models_json_schema(models, ref_template="#/$defs/{model}")  # type: ignore[arg-type]
    parts = document["$defs"]
    top = parts.pop(Top.__name__)
    top["properties"]["fleet"] = {"anyOf": [{"const": "detect"}, _part(FleetSection)]}
    top["properties"]["workloads"]["items"] = {"oneOf": [_part(model) for model in WORKLOADS.values()]}
    return {"$schema": ID, **top, "title": "Eke scenario", "$defs": parts}


def _part(model: type[Any]) -> dict[str, str]:
    return {"$ref": f"#/$defs/{model.__name__}"}

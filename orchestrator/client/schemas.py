"""JSON Schema of jobs, their outcomes and events. `docs/schema` has it for services in other languages."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.client.event_resources import EVENTS
from orchestrator.client.requests import JOBS
from orchestrator.client.results import RESULTS
from orchestrator.rules.refusals import ErrorCode

#: Fields are only added within a version.
VERSION = "v1"


def schema() -> dict[str, Any]:
    """Return JSON Schema of the keyword arguments: a property for each task's name."""
    arguments, definitions = _described(JOBS, "validation")
    says = "Each property is a task's name and describes its keyword arguments."
    return _document("jobs", "Jobs on the queue orchestrator.jobs", says, arguments, definitions)


def outcomes_schema() -> dict[str, Any]:
    """Return JSON Schema of the outcomes: a property for each task's name."""
    results, definitions = _described(RESULTS, "serialization")
    outcomes = {name: {"oneOf": [_succeeded(result), _REFUSED]} for name, result in results.items()}
    codes = {"Refused": _refused()}
    says = "Each property is a task's name and describes its return value."
    return _document("outcomes", "Outcomes of jobs", says, outcomes, definitions | codes)


def events_schema() -> dict[str, Any]:
    """Return JSON Schema of the events: a property for each type."""
    data, definitions = _described(EVENTS, "serialization")
    events = {name: _event(name, its_data) for name, its_data in data.items()}
    says = "Each property is a type of event and describes the event as CloudEvents 1.0 in JSON."
    return _document("events", "Events", says, events, definitions)


_REFUSED: Mapping[str, Any] = {"$ref": "#/$defs/Refused"}


def _described(models: Mapping[str, type[BaseModel]], mode: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a reference to each model by its name, and the definitions."""
    kinds = sorted({*models.values()}, key=lambda one: one.__name__)
    references, definitions = models_json_schema([(one, mode) for one in kinds])
    return {name: dict(references[model, mode]) for name, model in models.items()}, definitions["$defs"]


def _document(
    name: str, title: str, description: str, properties: Mapping[str, Any], definitions: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:orchestrator:schema:{VERSION}:{name}",
        "title": title,
        "description": description,
        "type": "object",
        "properties": dict(properties),
        "$defs": dict(sorted(definitions.items())),
    }


def _succeeded(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"ok": {"const": True}, "result": result},
        "required": ["ok", "result"],
        "additionalProperties": False,
    }


def _refused() -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {
            "code": {"enum": [code.value for code in ErrorCode]},
            "message": {"type": "string"},
            "details": {"type": "object"},
        },
        "required": ["code", "message", "details"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "description": "The job was refused, and changed nothing.",
        "properties": {"ok": {"const": False}, "error": error},
        "required": ["ok", "error"],
        "additionalProperties": False,
    }


def _event(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    properties = {
        "specversion": {"const": "1.0"},
        "id": text,
        "source": {"const": "/orchestrator"},
        "type": {"const": name},
        "subject": text,
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": data,
    }
    return {"type": "object", "properties": properties, "required": [*properties]}

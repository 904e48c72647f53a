"""Try one input, and say what came of it: a digest of what was accepted, or where each fault is. Never its prose."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

from orchestrator import wiring
from orchestrator.client import parse
from orchestrator.rules.refusals import Refusal
from orchestrator.settings import (
    Configuration,
    ConfigurationError,
    ProviderConfiguration,
    Settings,
    load_settings,
    unknown_variables,
)
from tests.recorded.inputs import FileInput, JobInput

#: A digest of the accepted values, or one text for each fault.
Outcome: TypeAlias = str | list[str]

#: Secrets that exist; all others are missing.
SECRETS = ("AIML_KEY_1", "MORPHEUS_KEY_1", "MORPHEUS_KEY_2", "VLLM_KEY", "STUDIO_KEY", "MORPHEUS_NODE")
#: Words of pydantic's messages.
FOREIGN = (" should ", "Field required", "Extra inputs", "Value error", "Unable to")
_DEFAULTS = ProviderConfiguration(name="", driver="", base_url="")


def of_file(given: FileInput, path: Path) -> Outcome:
    """Return the outcome of reading the file, which is written to `path`."""
    path.write_text(given.text)
    with environment({name: f"secret of {name}" for name in SECRETS}):
        try:
            read = wiring.read_configuration(Settings(config=path), require_secrets=given.require_secrets)
        except ConfigurationError as error:
            _check_words(fault.message for fault in error.faults)
            return sorted({fault.path.replace(str(path), "FILE") for fault in error.faults})
    return _digest(_not_default(read))


def of_environment(variables: Mapping[str, str], _path: Path) -> Outcome:
    """Return the outcome of reading the environment, with the variables that are not known."""
    with environment(variables):
        try:
            settings = load_settings()
        except ConfigurationError as error:
            _check_words(fault.message for fault in error.faults)
            return sorted({fault.path for fault in error.faults})
        unknown = [fault.path for fault in unknown_variables(Configuration(), variables)]
        return _digest(
            {"settings": repr(settings.model_dump()), "unknown": unknown, "set": settings.config_is_explicit}
        )


def of_job(given: JobInput, _path: Path) -> Outcome:
    """Return the outcome of parsing the job."""
    try:
        request = parse(given.name, given.kwargs)
    except Refusal as refusal:
        faults = refusal.details["faults"]
        _check_words(fault["msg"] for fault in faults)
        return [str(refusal.code), *(f"{fault['loc']} {fault['type']}" for fault in faults)]
    return _digest({"request": request.model_dump_json()})


OUTCOMES: Mapping[str, Callable[[Any, Path], Outcome]] = {
    "files": of_file,
    "environments": of_environment,
    "jobs": of_job,
}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these variables and no other with our prefix, or of secrets."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("ORCHESTRATOR_") or name in SECRETS:
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _check_words(messages: Iterable[str]) -> None:
    """Check that each message is a sentence of ours, and none of pydantic's."""
    strange = [text for text in messages if not text or "{}" in text or any(word in text for word in FOREIGN)]
    if strange:
        raise AssertionError(f"a message in pydantic's words: {strange}")


def _not_default(read: Configuration) -> Mapping[str, str]:
    """Return what the file has changed, by path: a key that is added later with a default alters no outcome."""
    defaults = _flat(asdict(_thawed(Configuration())))
    for name in read.providers:
        defaults |= _flat(asdict(_DEFAULTS), f".providers.{name}")
    found = _flat(asdict(_thawed(read)))
    return {path: value for path, value in found.items() if defaults.get(path) != value}


def _thawed(read: Configuration) -> Configuration:
    """Return a copy that `asdict` can copy: it knows no frozen mapping."""
    providers = {
        name: replace(one, options=dict(one.options), own_policy=()) for name, one in read.providers.items()
    }
    kept, rules = dict(read.retention), [dict(rule) for rule in read.attach_allowed]
    plain: Any = {"retention": kept, "attach_allowed": tuple(rules)}
    return replace(read, plans=dict(read.plans), providers=providers, webhooks=dict(read.webhooks), **plain)


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if not isinstance(value, Mapping) or not value:
        return {path: repr(value)}
    return {at: text for key, below in value.items() for at, text in _flat(below, f"{path}.{key}").items()}


def _digest(values: Mapping[str, Any]) -> str:
    text = "\n".join(f"{key}={value}" for key, value in sorted(values.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]

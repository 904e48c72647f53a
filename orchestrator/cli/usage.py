"""Report wrong usage in terms of the command line: options as they are typed, where a job's request names its
fields."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import typer
from typer.models import OptionInfo

from orchestrator.cli.failures import WRONG, Complaint

Fault: TypeAlias = Mapping[str, str]
#: A command's parameters, each as it is typed: `--nodes`, or ID.
Names: TypeAlias = Mapping[str, str]

#: Fields of requests with parameters of another name; all others have the same name.
_PARAMETERS: Mapping[str, Sequence[str]] = {
    "account_id": ("account_id", "account"),
    "id": ("model_id",),
    "model_id": ("model",),
    "attach.endpoint_url": ("attach_url",),
    "attach.model": ("attach_model",),
    "provider_options.failover": ("upstream_failover",),
    "providers": ("provider",),
    "provider_model_ids": ("id_at",),
    "tags": ("tag",),
    "type": ("kind",),
    "price_per_node_hour": ("price",),
}


class Misused(typer.BadParameter):
    """The command line cannot be right, whatever the state of the platform: exit code 2, with a hint at --help."""

    def format_message(self) -> str:
        """Return the message as it is, for it already names the options."""
        return self.message


def names_of(arguments_of: Callable[..., Any]) -> Names:
    """Return a command's parameters from its signature, as typer does."""
    parameters = inspect.signature(arguments_of).parameters
    return {
        name: _as_typed(name, parameter.annotation.__metadata__) for name, parameter in parameters.items()
    }


def misused(faults: Sequence[Fault], names: Names, options: Mapping[str, Any]) -> Exception:
    """Return the faults of a request as wrong usage. Values from a file are named by the file's own keys."""
    file = options.get("file")
    if file is not None:
        return Complaint("\n".join(f"{file}: {fault['loc']}: {fault['msg']}" for fault in faults), WRONG)
    return Misused("\n".join(_told(fault, names) for fault in faults))


def _told(fault: Fault, names: Names) -> str:
    loc, message = fault["loc"], fault["msg"]
    if loc == "request":  # of the whole: its sentence names fields
        return re.sub(r"[a-z]+(_[a-z]+)*", lambda word: _option(word.group(), names) or word.group(), message)
    option = _option(loc, names) or loc
    return f"{option} is missing" if fault["type"] == "missing" else f"{option}: {message}"


def _option(loc: str, names: Names) -> str | None:
    return next((names[parameter] for parameter in _candidates(loc) if parameter in names), None)


def _candidates(loc: str) -> Iterator[str]:
    """Yield parameter names for a path. Of `stop.idle_seconds`: idle; of `attach.secret_ref`: attach_secret_ref; of
    `metadata.a`: metadata."""
    path = re.sub(r"\[[0-9]+\]", "", loc)
    last, first = path.rpartition(".")[2], path.partition(".")[0]
    yield from _PARAMETERS.get(path, ())
    for name in (path.replace(".", "_"), last, first):
        yield from _PARAMETERS.get(name, ())
        yield name
        yield name.removesuffix("_seconds")


def _as_typed(name: str, metadata: Sequence[Any]) -> str:
    [option] = metadata
    if not isinstance(option, OptionInfo):
        return str(option.metavar or name.upper()).strip("[]")
    given = (option.default, *(option.param_decls or ()))  # the first name stands where a default would
    declared = [text.partition("/")[0] for text in given if isinstance(text, str) and text.startswith("--")]
    return " or ".join(declared) or f"--{name.replace('_', '-')}"

"""Report wrong usage in terms of the command line: options as they are typed, for the fields of a job's request."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import typer
from typer.models import OptionInfo

from orchestrator.cli.shared.failures import WRONG, Complaint

if TYPE_CHECKING:
    from orchestrator.client import RequestFault

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

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details

    def format_message(self) -> str:
        """Return the message as it is, for it already names the options."""
        return self.message


def names_of(arguments_of: Callable[..., Any]) -> Names:
    """Return a command's parameters from its signature, as typer does."""
    parameters = inspect.signature(arguments_of).parameters
    return {
        name: _as_typed(name, parameter.annotation.__metadata__) for name, parameter in parameters.items()
    }


def misused(faults: Sequence["RequestFault"], names: Names, options: Mapping[str, Any]) -> Exception:
    """Return the faults of a request as wrong usage. Values from a file are named by the file's own keys."""
    file = options.get("file")
    if file is not None:
        return Complaint("\n".join(f"{file}: {fault.path}: {fault.said()}" for fault in faults), WRONG)
    shown = [{"loc": fault.path, "msg": fault.said(), "type": fault.kind} for fault in faults]
    return Misused("\n".join(_line(fault, names) for fault in faults), faults=shown)


def _line(fault: "RequestFault", names: Names) -> str:
    sentence = fault.said(lambda field: _option([field], names))
    fields = [part for part in fault.loc if isinstance(part, str)]
    between = " " if fault.kind == "missing" else ": "
    return f"{_option(fields, names)}{between}{sentence}" if fields else sentence


def _option(fields: Sequence[str], names: Names) -> str:
    """Return the option for a field, named by its path; the path if there is none."""
    known = (names[parameter] for parameter in _candidates(fields) if parameter in names)
    return next(known, ".".join(fields))


def _candidates(fields: Sequence[str]) -> Iterator[str]:
    """Yield parameter names for a path. Of `stop.idle_seconds`: idle; of `attach.secret_ref`: attach_secret_ref; of
    `metadata.a`: metadata."""
    yield from _PARAMETERS.get(".".join(fields), ())
    for name in ("_".join(fields), fields[-1], fields[0]):
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

"""Options that are read without pydantic: typer makes a pydantic model of each parameter, also of one that nobody gave,
and importing pydantic takes as long as reading a page of rows."""

from typing import Any


class PlainValue:
    """Reads the values of one parameter: as they are where they are what they shall be, else as typer does."""

    def __init__(self, parameter: Any) -> None:
        described = parameter.type_descriptor
        self._as_typer_does = parameter.get_runtime_param
        self._kind = None if described.parameter_info.parser else described.annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of the parameter's type. Raises what typer raises for wrong usage."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if type(value) is self._kind and not param.multiple:
            return value
        return self._as_typer_does().coerce(value, param=param, ctx=ctx)


def read_plainly(command: Any) -> None:
    """Let the parameters of a command read their values so, those too that typer adds: `--help` is one."""
    found = command.get_params

    def get_params(ctx: Any) -> list[Any]:
        parameters: list[Any] = found(ctx)
        for parameter in parameters:
            _plain(parameter)
        return parameters

    command.get_params = get_params


def _plain(parameter: Any) -> None:
    if not {"get_runtime_param", "type_descriptor"} <= {*dir(parameter)}:
        return  # another release of typer: it reads its values itself
    if "get_runtime_param" not in vars(parameter):
        plain = PlainValue(parameter)
        parameter.get_runtime_param = lambda: plain

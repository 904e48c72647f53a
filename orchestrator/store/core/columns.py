"""Column types that mean the same on SQLite and PostgreSQL."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import MAX_PREC, Context, Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Dialect, Integer, String, types
from sqlalchemy.sql.operators import OperatorType

from orchestrator.rules.values import Attach, Budget, BudgetPeriod

MICROS = Decimal(1_000_000)
#: The default context would round an amount to 28 digits before a check could refuse it.
_EXACT = Context(prec=MAX_PREC)


class Money(types.TypeDecorator[Decimal]):
    """Exact money as an integer of millionths: SQLite sends a NUMERIC through a float."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        if value is None:
            return None
        micros = _EXACT.multiply(value, MICROS)
        if micros != micros.to_integral_value():
            raise ValueError(f"{value} is finer than a millionth")
        return int(micros)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(value).scaleb(-6)


class UtcDateTime(types.TypeDecorator[datetime]):
    """Aware instants, in UTC. SQLModel has the same type, which cannot be imported without all of SQLModel.

    A row of a session has 28 of them: on PostgreSQL, each takes one call to read."""

    impl = types.DateTime
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(timezone=True)

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> types.TypeEngine[Any]:  # noqa: ARG002
        return types.Interval() if isinstance(value, timedelta) else self

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError("an instant without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        return _in_utc if dialect.name == "postgresql" else super().result_processor(dialect, coltype)


def _in_utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


class EnumText(types.TypeDecorator[StrEnum]):
    """An enum's value as text (SQLAlchemy's own Enum would store the member's name)."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__(32)
        self.kind = kind
        self._members = {member.value: member for member in kind}

    def __repr__(self) -> str:
        return "String(length=32)"

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        return None if value is None else self._members.get(value) or self.kind(value)


class StringTuple(types.TypeDecorator[tuple[str, ...]]):
    """A tuple of strings as a JSON array."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return list(value or ())

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(value or ())


class Instants(types.TypeDecorator[tuple[datetime, ...]]):
    """A tuple of instants as a JSON array; NULL for none."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def process_bind_param(self, value: tuple[datetime, ...] | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return [at.isoformat() for at in value] if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[datetime, ...]:  # noqa: ARG002
        return tuple(datetime.fromisoformat(at) for at in value or ())


class Limits(types.TypeDecorator[Mapping[str, int | None]]):
    """Named numbers as a JSON object, in which null means no limit; a NULL column means that none is set."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def process_bind_param(self, value: Mapping[str, int | None] | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return dict(value) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> Mapping[str, int | None]:  # noqa: ARG002
        return dict(value or {})


class Budgets(types.TypeDecorator[tuple[Budget, ...]]):
    """Budgets as a JSON array; NULL for none."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def process_bind_param(self, value: tuple[Budget, ...] | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return [_budget_as_json(one) for one in value] if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[Budget, ...]:  # noqa: ARG002
        return tuple(_budget(one) for one in value or ())


class AttachJson(types.TypeDecorator[Attach]):
    """An attached endpoint as a JSON object."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def process_bind_param(self, value: Attach | None, dialect: Dialect) -> Any:  # noqa: ARG002
        if value is None:
            return None
        return asdict(value) | {"ends_at": value.ends_at.isoformat() if value.ends_at else None}

    def process_result_value(self, value: Any, dialect: Dialect) -> Attach | None:  # noqa: ARG002
        return None if value is None else _attach(value)


def _budget_as_json(budget: Budget) -> dict[str, Any]:
    most = budget.max_burn_per_hour
    return asdict(budget) | {
        "amount": str(budget.amount),
        "max_burn_per_hour": None if most is None else str(most),
        "since": None if budget.since is None else budget.since.isoformat(),
        "carried": str(budget.carried),
    }


def _budget(value: Mapping[str, Any]) -> Budget:
    most, since = value["max_burn_per_hour"], value["since"]
    return Budget(
        period=BudgetPeriod(value["period"]),
        amount=Decimal(value["amount"]),
        max_burn_per_hour=None if most is None else Decimal(most),
        since=None if since is None else date.fromisoformat(since),
        reached=value["reached"],
        hard_stop=value.get("hard_stop", False),  # budgets of an earlier release have none
        carried=Decimal(value.get("carried", 0)),
    )


def _attach(value: Mapping[str, Any]) -> Attach:
    ends_at = value.get("ends_at")
    return Attach(**{**value, "ends_at": datetime.fromisoformat(ends_at) if ends_at else None})


def money(*, nullable: bool = False, primary_key: bool = False) -> Any:
    """Return a money column."""
    if primary_key:  # on SQLite a single integer key would count up by itself
        return Column(Money(), primary_key=True, autoincrement=False)
    return Column(Money(), nullable=nullable)


def enum(kind: type[StrEnum], *, nullable: bool = False) -> Any:
    """Return an enum's column; pair it with `one_of` in the table's arguments."""
    return Column(EnumText(kind), nullable=nullable)


def one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """Return the CHECK that allows only the enum's values in its column."""
    values = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({values})", name=f"{column}_known")


def json_object() -> Any:
    """Return a JSON object's column."""
    return Column(JSON, nullable=False)


def serial() -> Any:
    """Return a primary key that counts up, beyond 32 bits."""
    return Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)

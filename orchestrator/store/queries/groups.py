"""Named queries over the groups of an account's starting and running sessions."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, select

from orchestrator.rules.billing.groups import Group, Phase
from orchestrator.store.plain import table_of

_GROUPS = table_of("session_groups")
_KEY = (_GROUPS.c.phase, _GROUPS.c.price_per_node_hour, _GROUPS.c.nodes, _GROUPS.c.block_seconds)
_SUMS = (_GROUPS.c.sessions, _GROUPS.c.charged, _GROUPS.c.since_seconds, _GROUPS.c.ran_seconds)


class Groups:
    """Queries of groups, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, account_id: str) -> Sequence[Group]:
        """Return an account's groups. Under the account's lock they do not change."""
        return self.of_all([account_id])[account_id]

    def of_all(self, account_ids: Collection[str]) -> Mapping[str, Sequence[Group]]:
        """Return the groups of these accounts, each account's in the order of their keys."""
        query = select(_GROUPS.c.account_id, *_KEY, *_SUMS, _GROUPS.c.latest_second)
        mine = query.where(_GROUPS.c.account_id.in_(account_ids)).order_by(_GROUPS.c.account_id, *_KEY)
        of: dict[str, list[Group]] = {account_id: [] for account_id in account_ids}
        for account_id, phase, *values in self._connection.execute(mine):
            names = [column.name for column in (*_KEY[1:], *_SUMS, _GROUPS.c.latest_second)]
            of[account_id].append(Group(phase=Phase(phase), **dict(zip(names, values, strict=True))))
        return of

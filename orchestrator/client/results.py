"""The shape of each job's result, by the task's name."""

from collections.abc import Mapping
from types import MappingProxyType

from orchestrator.client import cost_resources, resources

#: What `result` is in an outcome that is `ok`.
RESULTS: Mapping[str, type[resources.Resource]] = MappingProxyType(
    {
        "orchestrator.session.create": resources.SessionResource,
        "orchestrator.session.start": resources.SessionResource,
        "orchestrator.session.close": resources.CloseResource,
        "orchestrator.session.extend": resources.SessionResource,
        "orchestrator.session.ping": resources.SessionResource,
        "orchestrator.session.delete": resources.SessionResource,
        "orchestrator.session.record_interactions": resources.InteractionsResource,
        "orchestrator.account.put": resources.AccountResource,
        "orchestrator.account.credit": resources.CreditResource,
        "orchestrator.account.debit": resources.CreditResource,
        "orchestrator.account.budget": cost_resources.BudgetsResource,
        "orchestrator.model.put": resources.ModelResource,
        "orchestrator.session.get": resources.SessionResource,
        "orchestrator.session.list": resources.SessionPageResource,
        "orchestrator.account.get": resources.AccountDetailResource,
    }
)

"""One function for each request to the HTTP API that concerns the installation. `calls` has them too."""

from orchestrator.client import installation_resources, resources, webhook_requests
from orchestrator.client.api_call import ApiCall, ask, content, job, part, read
from orchestrator.client.trial_resources import TrialResource, TryPolicy


def list_events(
    *,
    type: str | None = None,  # noqa: A002
    subject: str | None = None,
    account: str | None = None,
    limit: int = 100,
) -> ApiCall[resources.EventPageResource]:
    """List events, oldest first, as far as they are kept. `ApiClient.events` streams them."""
    query = {"type": type, "subject": subject, "account": account, "limit": limit}
    return read("/events", resources.EventPageResource, query)


def get_job(key: str) -> ApiCall[installation_resources.JobResource]:
    """Read the outcome of a request by its key."""
    return read(f"/jobs/{part(key)}", installation_resources.JobResource)


def get_overview() -> ApiCall[installation_resources.OverviewResource]:
    """Read what lives, what it costs, what is late, and the last hour."""
    return read("/overview", installation_resources.OverviewResource)


def get_provider(name: str) -> ApiCall[installation_resources.ProviderDetailResource]:
    """Read a provider with its card and the last hour."""
    return read(f"/providers/{part(name)}", installation_resources.ProviderDetailResource)


def list_providers() -> ApiCall[installation_resources.ProviderListResource]:
    """List providers, with their credentials, brakes and alarms."""
    return read("/providers", installation_resources.ProviderListResource)


def check_provider(name: str, *, key: str | None = None) -> ApiCall[installation_resources.CheckListResource]:
    """Try a provider's credentials, balance, models and one ping. It may take a minute."""
    path = f"/providers/{part(name)}/check"
    return job("POST", path, installation_resources.CheckListResource, None, key)


def release_brake(name: str, *, key: str | None = None) -> ApiCall[installation_resources.BrakeResource]:
    """Lift every brake of a provider and its credentials."""
    path = f"/providers/{part(name)}/release-brake"
    return job("POST", path, installation_resources.BrakeResource, None, key)


def list_queue(
    *, account: str | None = None, limit: int = 100
) -> ApiCall[installation_resources.WaitingPageResource]:
    """List queued sessions."""
    return read("/queue", installation_resources.WaitingPageResource, {"account": account, "limit": limit})


def list_unproven(*, account: str | None = None) -> ApiCall[installation_resources.LeftoverListResource]:
    """List closes that the provider has not confirmed."""
    return read("/unproven", installation_resources.LeftoverListResource, {"account": account})


def list_orphans(*, provider: str | None = None) -> ApiCall[installation_resources.LeftoverListResource]:
    """List what lives at providers without a session."""
    return read("/orphans", installation_resources.LeftoverListResource, {"provider": provider})


def get_audit() -> ApiCall[installation_resources.AuditResource]:
    """Read the checks of the audit, with their open violations."""
    return read("/audit", installation_resources.AuditResource)


def list_alarms() -> ApiCall[installation_resources.AlarmsResource]:
    """List every open alarm."""
    return read("/alarms", installation_resources.AlarmsResource)


def reconcile(
    *,
    provider: str | None = None,
    dry_run: bool = True,
    max_share: float | None = None,
    key: str | None = None,
) -> ApiCall[installation_resources.ReconcileResource]:
    """Compare what lives at providers with what is known. Nothing is changed unless `dry_run` is false."""
    query = {"provider": provider, "dry_run": dry_run, "max_share": max_share}
    return job("POST", "/reconcile", installation_resources.ReconcileResource, None, key, query)


def try_policy(request: TryPolicy) -> ApiCall[TrialResource]:
    """Read what other rules would do to the sessions. Nothing is written."""
    return ask("/policy:try", TrialResource, content(request))


# webhooks


def list_webhooks() -> ApiCall[installation_resources.WebhookListResource]:
    """List webhooks, with what did not arrive there."""
    return read("/webhooks", installation_resources.WebhookListResource)


def get_webhook(name: str) -> ApiCall[installation_resources.WebhookResource]:
    """Read a webhook."""
    return read(f"/webhooks/{part(name)}", installation_resources.WebhookResource)


def put_webhook(
    name: str, request: webhook_requests.PutWebhook, *, key: str | None = None
) -> ApiCall[installation_resources.WebhookPutResource]:
    """Add a webhook, or change it."""
    path = f"/webhooks/{part(name)}"
    return job("PUT", path, installation_resources.WebhookPutResource, content(request), key)


def delete_webhook(
    name: str, *, key: str | None = None
) -> ApiCall[installation_resources.WebhookDeletedResource]:
    """Delete a webhook, with what waits for it."""
    path = f"/webhooks/{part(name)}"
    return job("DELETE", path, installation_resources.WebhookDeletedResource, None, key)


def try_webhook(name: str, *, key: str | None = None) -> ApiCall[installation_resources.WebhookTriedResource]:
    """Send a signed event of the type `orchestrator.webhook.test`."""
    path = f"/webhooks/{part(name)}/test"
    return job("POST", path, installation_resources.WebhookTriedResource, {}, key)


def list_dead_letters(name: str) -> ApiCall[installation_resources.DeliveryListResource]:
    """List the events that were given up."""
    path = f"/webhooks/{part(name)}/dead-letters"
    return read(path, installation_resources.DeliveryListResource)


def replay_webhook(
    name: str, request: webhook_requests.ReplayWebhook, *, key: str | None = None
) -> ApiCall[installation_resources.DeliveryListResource]:
    """Send dead letters, or any event that is still kept, again."""
    path = f"/webhooks/{part(name)}/replay"
    return job("POST", path, installation_resources.DeliveryListResource, content(request), key)

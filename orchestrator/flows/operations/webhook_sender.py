"""Send one event to one webhook, signed as the Standard Webhooks say."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from standardwebhooks import Webhook as Signer

from orchestrator.providers.http.client import Call, HttpClient, NoAnswer
from orchestrator.providers.port.errors import NotSent
from orchestrator.rules.events import rfc3339
from orchestrator.rules.upstream.addresses import Network, Reach, is_loopback
from orchestrator.rules.values import Webhook
from orchestrator.rules.webhooks import ANSWERS_WITHIN, CANNOT_SIGN, Undelivered, key_in
from orchestrator.settings import SecretStore

_TYPE = "application/cloudevents+json; charset=utf-8"


class WebhookSender:
    """Sends events; no redirects are followed, and only the public internet and `[attach]`'s networks are reached."""

    def __init__(self, http: HttpClient, secrets: SecretStore, networks: tuple[Network, ...] = ()) -> None:
        self._http = http
        self._secrets = secrets
        self._networks = networks

    async def send(self, webhook: Webhook, event: Mapping[str, Any], now: datetime) -> Undelivered | None:
        """Send a CloudEvent. Return None if it arrived (2xx within 10 s); otherwise why not. `now`: the store's time,
        as receivers refuse a signature of another time, and this machine's clock may be off."""
        body = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        signed, fault = self._signatures(webhook, str(event["id"]), now, body)
        if fault is not None:
            return Undelivered(fault)
        call = Call(
            method="POST",
            url=webhook.url,
            timeout_seconds=ANSWERS_WITHIN,
            content=body.encode(),
            headers={
                "content-type": _TYPE,
                "webhook-id": str(event["id"]),
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signed,
            },
        )
        try:
            response = await self._http.checked(self._reach(webhook.url)).ask(call)
        except (NotSent, NoAnswer) as error:
            return Undelivered(str(error))
        if 200 <= response.status < 300:
            return None
        redirects = "; redirects are not followed" if 300 <= response.status < 400 else ""
        return Undelivered(
            f"the receiver answered {response.status}{redirects}", response.retry_after_seconds or 0.0
        )

    async def try_out(self, webhook: Webhook, now: datetime) -> str | None:
        """Send an event of the type orchestrator.webhook.test. Return None if it arrived; otherwise why not, as a
        sentence."""
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/orchestrator",
            "type": "orchestrator.webhook.test",
            "subject": webhook.name,
            "time": rfc3339(now),
            "datacontenttype": "application/json",
            "data": {"webhook": webhook.name},
        }
        failure = await self.send(webhook, event, now)
        return None if failure is None else failure.answer

    def fault_of(self, ref: str) -> str | None:
        """Return why the secret behind this reference cannot sign; None if it can."""
        secret = self._secrets.get(ref)
        if secret is None:
            return self._secrets.why_missing(ref)
        return None if _signer(secret) is not None else f"{ref} {CANNOT_SIGN}"

    def _signatures(
        self, webhook: Webhook, event_id: str, now: datetime, body: str
    ) -> tuple[str, str | None]:
        signatures = []
        for ref in webhook.secret_refs:
            signer = _signer(self._secrets.get(ref) or "")
            if signer is None:
                return "", f"it cannot be signed: {self.fault_of(ref)}"
            signatures.append(signer.sign(event_id, now, body))
        return " ".join(signatures), None

    def _reach(self, url: str) -> Reach:
        """Return what may be reached: this machine itself only if the URL names it."""
        host = urlsplit(url).hostname or ""
        return Reach(named=frozenset({host} if is_loopback(host) else ()), networks=self._networks)


def _signer(secret: str) -> Signer | None:
    """Return what signs with this secret; None if it cannot."""
    key = key_in(secret)
    return None if key is None else Signer(key)

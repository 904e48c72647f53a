"""Check a provider for an operator: what works there, what does not, and why. It creates nothing."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.check_ping import running, try_ping
from orchestrator.flows.operations.checks import Subject, Tried, card_facts, not_tried, tried
from orchestrator.providers.port.abilities import ChecksKey, ChecksOwner, HasBalance, ListsModels
from orchestrator.providers.port.driver import Life, Order, Secret, Target
from orchestrator.providers.port.errors import CannotAsk, NotSent, OutOfBalance
from orchestrator.rules.values import Model, ModelType
from orchestrator.rules.values.amounts import money_text

#: The duration in an order to an always-on endpoint, which creates nothing and ignores it. Seconds.
_DURATION = 3600
_NAME = "provider-check"


def check_provider(services: Services, name: str) -> Sequence[Tried]:
    """Try what can be tried without creating anything. KeyError where no such provider is configured."""
    subject = Subject(services=services, driver=services.drivers[name], name=name)
    keys = [_key(subject, ref) for ref in subject.refs]
    others = list(_endpoint_secrets(subject))
    good = [ref for ref, key in zip(subject.refs, keys, strict=True) if key.works is not False]
    if not good:
        skipped = ("balance", "models", "ping")
        untried = (not_tried(what, "no credential works") for what in skipped)
        return [_platform(subject), *keys, *others, *untried]
    secret = services.secret(good[0])
    models, served = _models(subject, secret)
    tries = [
        *keys,
        *others,
        *_owner(subject, secret),
        _balance(subject, secret),
        *models,
        *try_ping(subject, secret, served),
    ]
    return [_platform(subject), *tries, *_nothing_was_verified(subject, tries)]


def _nothing_was_verified(subject: Subject, tries: Sequence[Tried]) -> Iterator[Tried]:
    """Report that nothing could be tried: the provider may not even be reachable. Attached sessions bring their own
    endpoint, so there is nothing to try."""
    if not subject.driver.card.lifecycle.attaches and all(one.works is None for one in tries):
        yield Tried(
            what="reachable",
            works=False,
            said="nothing here can be tried without opening a session: even its address is not verified",
            remedy="give it a list or a status that asks by {name}, or open one session and try again",
        )


def _platform(subject: Subject) -> Tried:
    """Return what the driver's card says, on which all checks below depend."""
    return Tried(what="platform", works=True, said="; ".join(card_facts(subject.driver.card)))


def _endpoint_secrets(subject: Subject) -> Iterator[Tried]:
    """Yield the missing secrets of endpoints. The check sends none of them, but pings need them."""
    for key, ref in subject.services.config.providers[subject.name].endpoint_secrets.items():
        missing = subject.services.secrets.why_missing(ref)
        if missing:
            remedy = "provide the secret on this machine"
            yield Tried(what=f"{key} {ref}", works=False, said=missing, remedy=remedy)


def _key(subject: Subject, ref: str | None) -> Tried:
    what = f"credential {ref or '(none)'}"
    missing = None if ref is None else subject.services.secrets.why_missing(ref)
    if missing:
        return Tried(what=what, works=False, said=missing, remedy="provide the secret on this machine")
    return tried(subject, what, _key_check(subject, ref))


def _key_check(subject: Subject, ref: str | None) -> Callable[[], Awaitable[str]]:
    """Return the cheapest call that succeeds only with a good key."""
    services, driver = subject.services, subject.driver

    async def ask() -> str:
        if isinstance(driver, ChecksKey):
            return await driver.check(services.secret(ref))
        if ref is not None and driver.card.status.can_list:
            return f"sessions or instances listed: {len(await driver.list(services.secret(ref)))}"
        if driver.card.lifecycle.attaches:
            raise CannotAsk("each session brings a secret of its own")
        if driver.card.status.by_name:
            return await _asked_for_an_unknown_session(subject, services.secret(ref))
        raise CannotAsk("this platform has no call that checks a key: its first use will show")

    return ask


async def _asked_for_an_unknown_session(subject: Subject, secret: Secret | None) -> str:
    """Ask for the status of a session that does not exist: an answer proves that the platform is reachable and accepts
    the key."""
    missing = Target(
        placement_id=_NAME,
        handle=None,
        endpoint=None,
        model=_NAME,
        model_type=ModelType.LLM,
        secret=secret,
        name=_NAME,
    )
    status = await subject.driver.status(missing)
    if status.life is Life.UNKNOWN:
        raise NotSent(f"asked about a session that does not exist: {status.detail}")
    return f"answers, asked about a session that does not exist: {status.detail}"


def _owner(subject: Subject, secret: Secret | None) -> Iterator[Tried]:
    """Check that what runs there for us is ours, if the configuration could name another owner."""
    driver = subject.driver
    if not isinstance(driver, ChecksOwner):
        return
    served = running(subject)
    if served is None or served.handle is None:
        yield not_tried("owner", "nothing runs there")
        return
    yield tried(subject, f"owner of {served.handle}", partial(driver.check_owner, served.handle, secret))


def _balance(subject: Subject, secret: Secret | None) -> Tried:
    driver = subject.driver
    if not isinstance(driver, HasBalance):
        return not_tried("balance", "this platform does not report its balance")
    low_below = driver.low_balance_below

    async def ask() -> str:
        balance = await driver.balance(secret)
        amount = f"{money_text(balance.amount)} {balance.currency}"
        if balance.amount < low_below:
            raise OutOfBalance(f"{amount}, low: below {money_text(low_below)}")
        return amount

    return tried(subject, "balance", ask)


def _models(subject: Subject, secret: Secret | None) -> tuple[list[Tried], Target | None]:
    """Return a row for each model that names this provider, and the first one that can be pinged."""
    with subject.services.database.reading() as tx:
        models = [model for model in tx.models.listed() if subject.name in model.providers]
    if not models:
        return [not_tried("models", "no model names this provider; add one with `orchestrator apply`")], None
    rows, served = [], None
    for model in models:
        row, target = _model(subject, secret, model)
        rows.append(row)
        served = served or target
    return rows, served


def _model(subject: Subject, secret: Secret | None, model: Model) -> tuple[Tried, Target | None]:
    driver, theirs = subject.driver, model.provider_model_ids[subject.name]
    what = f"model {model.id} ({theirs})"
    found: list[Target] = []

    async def ask() -> str:
        if not driver.card.lifecycle.managed:  # such an open creates nothing
            found.append(await _leased(subject, secret, model))
            return "can be used"
        if isinstance(driver, ListsModels):
            return await driver.lists(theirs, secret)
        if driver.card.lifecycle.attaches:
            raise CannotAsk("the endpoint and the model are named when a session is attached")
        raise CannotAsk("only an open can show this, and it might create a session")

    row = tried(subject, what, ask)
    return row, found[0] if found else None


async def _leased(subject: Subject, secret: Secret | None, model: Model) -> Target:
    """Return the target for a ping of an always-on model."""
    theirs, policy = model.provider_model_ids[subject.name], subject.services.policy(subject.name)
    order = Order(
        placement_id=_NAME,
        name=_NAME,
        model=theirs,
        model_type=model.type,
        nodes=1,
        duration_seconds=_DURATION,
        secret=secret,
    )
    placed = await subject.driver.open(order)
    ref = placed.endpoint.secret_ref
    return Target(
        placement_id=_NAME,
        handle=placed.handle,
        endpoint=placed.endpoint,
        model=theirs,
        model_type=model.type,
        secret=secret if secret is not None and ref == secret.ref else subject.services.secret(ref),
        max_tokens=policy.ping_max_tokens,
        timeout_seconds=policy.ping_timeout_seconds,
        name=_NAME,
    )

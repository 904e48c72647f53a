"""The console over the small world: a served site, and people who sign in."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx

from orchestrator.console.site import create_site
from orchestrator.rules.values import Scope
from tests.api.stage import Api
from tests.world import World

WAIT_LIMIT = 60.0


class Person:
    """Someone with a browser that remembers cookies, and fills in the forms of pages."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=WAIT_LIMIT, trust_env=False)

    def sign_in(self, token: str) -> httpx.Response:
        """Send the form with this token."""
        return self.http.post("/sign-in", data={"token": token})

    def page(self, path: str, status: int = 200) -> str:
        """Return a page that must have this status."""
        response = self.http.get(path)
        assert response.status_code == status, (path, response.status_code, response.text[-1500:])
        return response.text

    def press(
        self, path: str, action: str | None = None, *, status: int = 303, **fields: Any
    ) -> httpx.Response:
        """Send the form of a page that posts to `action`, by default to the page itself, with these fields."""
        target = action or path
        form = form_in(self.page(path), target)
        response = self.http.post(target, data={**form, **fields})
        assert response.status_code == status, (target, response.status_code, response.text[-1500:])
        return response


class Stage(Api):
    """The API with its console."""

    def __init__(self, world: World, *, read_only: bool = False) -> None:
        super().__init__(world, partial(create_site, read_only=read_only))
        self._people: list[Person] = []

    def __exit__(self, *error: object) -> None:
        for person in self._people:
            person.http.close()
        super().__exit__(*error)

    def visitor(self) -> Person:
        """Return someone who has not signed in."""
        self._people.append(Person(self.url))
        return self._people[-1]

    def person(self, *scopes: Scope, account: str | None = None, name: str = "anna") -> Person:
        """Return someone who has signed in."""
        person = self.visitor()
        assert person.sign_in(self.token(*scopes, account=account, name=name)).status_code == 303
        return person


def form_in(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form that posts to `action`."""
    forms = re.findall(
        r"<form[^>]*method=\"post\"[^>]*action=\"([^\"]*)\"[^>]*>(.*?)</form>", page, re.DOTALL
    )
    bodies = [body for target, body in forms if target == action]
    assert bodies, (action, [target for target, _ in forms])
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', bodies[0])
    return {name: html.unescape(value) for name, value in fields}


@contextmanager
def staged(world: World, *, read_only: bool = False) -> Iterator[Stage]:
    """Serve the site over this world."""
    with Stage(world, read_only=read_only) as stage:
        yield stage

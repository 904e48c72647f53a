"""Sign in with a token, and out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.console.forms import form_of
from orchestrator.console.pages import bare
from orchestrator.console.session import SIGN_IN, forget, keep, local, token_of, too_many

router = APIRouter()

_MOST_BYTES = 4_096
Next = Annotated[str | None, Query(alias="next", max_length=2_000)]


@router.get(SIGN_IN)
async def ask_for_token(next_page: Next = None) -> Response:
    """Show the form. A link may bring the token behind a `#`, which no browser sends and no log has."""
    return bare("sign_in.html", next=local(next_page), failed=None)


@router.post(SIGN_IN)
async def sign_in(request: Request, next_page: Next = None) -> Response:
    """Check the token, and keep it in a cookie."""
    async with request.form(max_fields=2, max_files=0, max_part_size=_MOST_BYTES) as sent:
        text = str(sent.get("token", "")).strip()
    if text and await token_of(request, text) is not None:
        response = RedirectResponse(local(next_page), 303)
        keep(response, request, text)
        return response
    wait = too_many(request)
    if wait is not None:
        failed = f"Too many tries came from this address. Try again in {int(wait) + 1} s."
        return bare("sign_in.html", status=429, next=local(next_page), failed=failed)
    failed = "This token is unknown, revoked or expired."
    return bare("sign_in.html", status=401, next=local(next_page), failed=failed)


@router.get("/signed-in")
async def signed_in() -> Response:
    """Say that the cookie is good, to a page that was reached from another site."""
    return Response(status_code=204)


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Remove the cookie. The token stays valid."""
    await form_of(request)
    response = RedirectResponse(SIGN_IN, 303)
    forget(response)
    return response

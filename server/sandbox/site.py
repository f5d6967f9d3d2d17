"""The sandbox platform: a real OAuth 2.0 server for development, with people and pages made up on the spot.

This file is what a person sees who connects: sign-in, consent, avatars. What apps call is in api.py, and in
publishing.py; what was published is seen by timeline.py.
"""

import hashlib
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri
from starlette.requests import Request
from starlette.responses import Response

from server.base.identity import Clock
from server.sandbox import grants
from server.sandbox.answers import see_other
from server.sandbox.api import display_name
from server.sandbox.forms import check_site, form_token, may_act
from server.sandbox.requests import (
    MAX_PAGES,
    MAX_QUERY,
    SCOPES,
    AuthorizationRefused,
    AuthorizationRequest,
    BadRequest,
    authorization_request,
    form,
    handle,
    page_handles,
    single_values,
)
from server.web.pages import Pages
from server.web.threads import Endpoint

COOKIE = "hitchpost_sandbox"
pages = Pages("server.sandbox", "server.web")


class Sandbox:
    """The pages. Neither URL has a final slash; the app's redirect_uri is `{callback_url}/sandbox`."""

    def __init__(self, public_url: str, callback_url: str, clock: Clock) -> None:
        self._public_url = public_url
        self._redirect_uri = f"{callback_url}/sandbox"
        self._clock = clock

    def index(self, _request: Request) -> Response:
        """GET /sandbox: what this is."""
        return pages.render("sandbox_index.html", scopes=SCOPES)

    def authorize(self, request: Request) -> Response:
        """GET /sandbox/authorize: the sign-in page, or the consent page of a person who is signed in."""
        wanted = self._wanted(request.url.query)
        secret = request.cookies.get(COOKIE, "")
        login = grants.find("login", secret, self._clock())
        if login is None:
            return _sign_in_page(wanted, wanted.login_hint, "", None)
        return pages.render(
            "sandbox_consent.html",
            query=wanted.query,
            form_token=form_token(secret),
            handle=login.handle,
            accounts=[_account(name) for name in (login.handle, *login.detail["pages"])],
            scopes=[SCOPES[scope] for scope in wanted.scopes],
        )

    def sign_in(self, request: Request) -> Response:
        """POST /sandbox/sign-in: anybody who gives a handle is signed in."""
        # A form of another site could sign the person in as somebody else.
        check_site(request)
        fields = single_values(form(request).multi_items(), MAX_QUERY)
        wanted = self._wanted(fields.get("query", ""))
        given, given_pages = fields.get("handle", ""), fields.get("pages", "")
        try:
            own = handle(given)
            managed = page_handles(given_pages, own)
        except BadRequest as error:
            return _sign_in_page(wanted, given, given_pages, str(error))
        response = see_other(f"authorize?{wanted.query}")
        response.set_cookie(
            COOKIE,
            grants.issue("login", own, {"pages": managed}, self._clock()),
            max_age=int(grants.LIFETIMES["login"].total_seconds()),
            path=f"{urlsplit(self._public_url).path}/sandbox",
            secure=self._public_url.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
        return response

    def sign_out(self, request: Request) -> Response:
        """POST /sandbox/sign-out: back to the sign-in page, for another login."""
        fields = single_values(form(request).multi_items(), MAX_QUERY)
        wanted = self._wanted(fields.get("query", ""))
        secret = request.cookies.get(COOKIE, "")
        if may_act(secret, fields):
            grants.forget_login(secret)
        return see_other(f"authorize?{wanted.query}")

    def consent(self, request: Request) -> Response:
        """POST /sandbox/consent: back to the app, with a code or with access_denied."""
        data = form(request)
        chosen = data.getlist("account")
        fields = single_values((item for item in data.multi_items() if item[0] != "account"), MAX_QUERY)
        wanted = self._wanted(fields.get("query", ""))
        secret = request.cookies.get(COOKIE, "")
        login = grants.find("login", secret, self._clock())
        if login is None:
            return see_other(f"authorize?{wanted.query}")
        if not may_act(secret, fields):
            raise BadRequest("This form belongs to another login. Go back, reload the page and try again.")
        match fields.get("decision"):
            case "approve":
                return self._approve(wanted, login, chosen)
            case "deny":
                raise AuthorizationRefused("access_denied", "the person declined", wanted.state)
        raise BadRequest("The form does not say whether to approve or to deny.")

    def avatar(self, request: Request) -> Response:
        """GET /sandbox/avatars/{handle}.svg: the handle's initial on the handle's colour."""
        name = handle(request.path_params["handle"])
        svg = pages.text(
            "sandbox_avatar.svg",
            hue=hashlib.sha256(name.encode()).digest()[0] * 360 // 256,
            initial=display_name(name)[0].upper(),
        )
        headers = {
            "Cache-Control": "public, max-age=86400",
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(svg, media_type="image/svg+xml", headers=headers)

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with its exceptions turned into a page, or into a redirect to the app."""

        def run(request: Request) -> Response:
            try:
                return endpoint(request)
            except BadRequest as error:
                return pages.render("message.html", 400, title="This can't be done", message=str(error))
            except AuthorizationRefused as error:
                return self._back(error=error.error, error_description=str(error), state=error.state)

        return run

    def _wanted(self, query: str) -> AuthorizationRequest:
        return authorization_request(query, self._redirect_uri)

    def _approve(self, wanted: AuthorizationRequest, login: grants.Grant, chosen: list[str]) -> Response:
        accounts = [name for name in (login.handle, *login.detail["pages"]) if name in chosen]
        if len(accounts) != len(set(chosen)):
            raise BadRequest("An account in the form is not one of this login's.")
        detail = {
            "redirect_uri": self._redirect_uri,
            "challenge": wanted.challenge,
            "scopes": wanted.scopes,
            "accounts": accounts,
        }
        return self._back(code=grants.issue("code", login.handle, detail, self._clock()), state=wanted.state)

    def _back(self, **parameters: str | None) -> Response:
        given = [(name, value) for name, value in parameters.items() if value is not None]
        return see_other(add_params_to_uri(self._redirect_uri, given))


def _sign_in_page(
    wanted: AuthorizationRequest, given: str, given_pages: str, problem: str | None
) -> Response:
    return pages.render(
        "sandbox_sign_in.html",
        422 if problem else 200,
        query=wanted.query,
        handle=given,
        pages=given_pages,
        max_pages=MAX_PAGES,
        problem=problem,
    )


def _account(name: str) -> dict[str, str]:
    return {"handle": name, "name": display_name(name), "picture": f"avatars/{name}.svg"}

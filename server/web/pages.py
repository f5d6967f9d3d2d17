"""The pages that a browser sees: one way to render a template, with the headers that every page has."""

import secrets

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

# `form-action` stays wide on purpose: Chromium applies it to every redirect that follows a form, and
# the last one leads to the caller's own redirect_url, wherever that is.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self' http: https: data:; "
    "media-src 'self'; "
    "form-action 'self' http: https:; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Pages:
    """Pages made of the templates of some rooms; the first room that has a template gives it."""

    def __init__(self, *rooms: str) -> None:
        self._templates = Environment(
            loader=ChoiceLoader([PackageLoader(room) for room in rooms]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, template: str, status: int = 200, **context: object) -> HTMLResponse:
        """The template as a page that runs no script, is in no frame and stays in no cache.

        Everything in `context` is escaped. Raises jinja2.UndefinedError when the template misses a variable.
        """
        nonce = secrets.token_urlsafe(16)
        policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY.format(nonce=nonce)}
        return HTMLResponse(self.text(template, nonce=nonce, **context), status, headers=HEADERS | policy)

    def text(self, template: str, **context: object) -> str:
        """The template as text, escaped in the same way."""
        return self._templates.get_template(template).render(context)


_pages = Pages("server.web")
render, text = _pages.render, _pages.text

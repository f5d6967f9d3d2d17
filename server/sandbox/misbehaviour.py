"""Where the sandbox is told to misbehave: a page, and the same as an API."""

import secrets
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.base.identity import Clock
from server.sandbox import behaviours
from server.sandbox.answers import NO_STORE, failure, see_other
from server.sandbox.behaviours import BEHAVIOURS, NAMED, SLOW, Told
from server.sandbox.forms import check_site, form_token, may_act
from server.sandbox.requests import BadRequest, form, single_values
from server.web.pages import Pages

COOKIE = "hitchpost_sandbox_form"
DELAY = 3.0
pages = Pages("server.sandbox", "server.web")


class Order(BaseModel):
    """What is to be done from now on. Neither share nor next: in each call."""

    model_config = ConfigDict(extra="forbid")

    behaviour: str
    share: Annotated[float | None, Field(gt=0, le=1)] = None
    next: Annotated[int | None, Field(gt=0, le=1_000_000)] = None
    seconds: Annotated[float | None, Field(gt=0, le=86_400)] = None
    delay: Annotated[float | None, Field(gt=0, le=60)] = None

    @field_validator("behaviour")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NAMED:
            raise ValueError(f"one of {', '.join(NAMED)}")
        return name

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.share is not None and self.next is not None:
            raise ValueError("either share or next")
        if self.delay is not None and self.behaviour != SLOW.name:
            raise ValueError("delay is for slow alone")
        return self

    def value(self) -> dict[str, Any]:
        """How, as it is kept."""
        delay = {"delay": self.delay or DELAY} if self.behaviour == SLOW.name else {}
        return self.model_dump(include={"share", "next"}, exclude_none=True) | delay


class Misbehaviour:
    """The endpoints. `secure`: browsers come by https."""

    def __init__(self, clock: Clock, path: str, *, secure: bool) -> None:
        self._clock = clock
        self._path = path
        self._secure = secure

    def look(self, request: Request) -> Response:
        """GET /sandbox/behaviour: what it was told, and a form to tell more."""
        told = behaviours.told(self._clock())
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"behaviours": [self._view(one) for one in told]}, headers=NO_STORE)
        return self._page(request, {})

    def tell(self, request: Request) -> Response:
        """POST /sandbox/behaviour, as JSON or as the page's form."""
        # Browsers let other sites send JSON only to who agrees; forms they let them send.
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
            return self._tell_by_json(request)
        check_site(request)
        fields = single_values(form(request).multi_items())
        if not may_act(request.cookies.get(COOKIE, ""), fields):
            raise BadRequest("This form belongs to another browser. Go back, reload the page and try again.")
        if "reset" in fields:
            behaviours.reset(fields["reset"] or None)
            return see_other("behaviour")
        given = {name: value for name, value in fields.items() if value and name != "form_token"}
        try:
            self._do(Order.model_validate(given))
        except ValidationError as error:
            return self._page(request, given, _problem(error))
        return see_other("behaviour")

    def reset(self, request: Request) -> Response:
        """DELETE /sandbox/behaviour: it behaves again; with `?behaviour=` only in that way."""
        behaviours.reset(request.query_params.get("behaviour"))
        return Response(status_code=204, headers=NO_STORE)

    def _tell_by_json(self, request: Request) -> Response:
        try:
            self._do(Order.model_validate_json(request.state.body or b""))
        except ValidationError as error:
            return failure(400, "invalid_request", _problem(error))
        told = behaviours.told(self._clock())
        return JSONResponse({"behaviours": [self._view(one) for one in told]}, headers=NO_STORE)

    def _do(self, order: Order) -> None:
        behaviours.tell(NAMED[order.behaviour], order.value(), order.seconds, self._clock())

    def _view(self, told: Told) -> dict[str, Any]:
        """What it was told, as the API shows it."""
        left = told.until_time and max(0, round((told.until_time - self._clock()).total_seconds(), 3))
        return {"behaviour": told.name, **told.value} | ({"seconds": left} if left is not None else {})

    def _page(self, request: Request, given: dict[str, str], problem: str | None = None) -> Response:
        secret = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        response = pages.render(
            "sandbox_behaviour.html",
            422 if problem else 200,
            told=[_told(self._view(one)) for one in behaviours.told(self._clock())],
            behaviours=BEHAVIOURS,
            given=given,
            problem=problem,
            form_token=form_token(secret),
        )
        response.set_cookie(
            COOKIE, secret, path=self._path, secure=self._secure, httponly=True, samesite="strict"
        )
        return response


def _told(view: dict[str, Any]) -> dict[str, str]:
    """A behaviour in words."""
    behaviour = NAMED[view["behaviour"]]
    meaning = behaviour.meaning
    if "delay" in view:
        meaning += f" by {view['delay']:g} s"
    if "share" in view:
        meaning += f", in {view['share']:.0%} of calls"
    if "next" in view:
        meaning += f", the next {view['next']} times"
    if "seconds" in view:
        meaning += f", for another {view['seconds']:.0f} s"
    return {"name": behaviour.name, "meaning": f"It {meaning}."}


def _problem(error: ValidationError) -> str:
    """What is wrong first; nothing that was sent."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what

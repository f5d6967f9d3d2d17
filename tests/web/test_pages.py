"""Pages: what is at every address that there is or is not, what people read, and that they can read it."""

import re

import httpx2
import pytest

from generated.hitchpost.v1 import error_reason_pb2 as pb
from server.web.pages import text
from server.web.sentences import SENTENCES
from tests.conftest import Running
from tests.kit.colours import contrast
from tests.kit.support import MESSAGES

# What is said to programs alone. A new reason belongs here or has a sentence for people.
ONLY_FOR_PROGRAMS = {
    pb.ERROR_REASON_AUTH_CONFIRMATION_UNKNOWN,
    pb.ERROR_REASON_AUTH_CONFIRMATION_USED,
    pb.ERROR_REASON_UNSPECIFIED,
    pb.ERROR_REASON_API_KEY_MISSING,
    pb.ERROR_REASON_API_KEY_INVALID,
    pb.ERROR_REASON_API_KEY_READ_ONLY,
    pb.ERROR_REASON_API_KEY_NOT_ADMIN,
    pb.ERROR_REASON_API_KEY_ADMIN_ONLY,
    pb.ERROR_REASON_API_KEY_NOT_FOUND,
    pb.ERROR_REASON_PROJECT_NOT_FOUND,
    pb.ERROR_REASON_PROJECT_NAME_TAKEN,
    pb.ERROR_REASON_RATE_LIMITED,
    pb.ERROR_REASON_OWNER_MISMATCH,
    pb.ERROR_REASON_EXTERNAL_ID_IMMUTABLE,
    pb.ERROR_REASON_SOCIAL_POST_NOT_FOUND,
    pb.ERROR_REASON_PLATFORM_APP_NOT_FOUND,
    pb.ERROR_REASON_ANSWER_TOO_LARGE,
    pb.ERROR_REASON_ETAG_MISMATCH,
    pb.ERROR_REASON_REQUEST_ID_REUSED,
    pb.ERROR_REASON_SOCIAL_ACCOUNT_HAS_POSTS,
    pb.ERROR_REASON_SOCIAL_POST_NOT_EDITABLE,
    pb.ERROR_REASON_AUTH_STATE_OF_ANOTHER_PROJECT,
    pb.ERROR_REASON_REQUEST_NOT_RECEIVED,
    pb.ERROR_REASON_METHOD_UNKNOWN,
    pb.ERROR_REASON_APP_PASSWORD_REFUSED,
    pb.ERROR_REASON_HANDLE_UNKNOWN,
    pb.ERROR_REASON_SOCIAL_POST_NOT_PUBLISHABLE,
    pb.ERROR_REASON_SOCIAL_POST_NOT_CANCELLABLE,
    pb.ERROR_REASON_SOCIAL_POST_NOT_RETRYABLE,
    pb.ERROR_REASON_SOCIAL_POST_TARGET_NOT_UNCONFIRMED,
    pb.ERROR_REASON_SOCIAL_POST_TARGET_NOT_FOUND,
}


def ask(running: Running, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
    url = f"http://{running.settings.web_address}{path}"
    return httpx2.request(method, url, headers=headers, trust_env=False, verify=False, timeout=20)


@pytest.mark.parametrize(
    "path", ["/callback/sandbox/x", "/healthz/", "/sandbox/", "/sandbox/authorize/", "/callback//sandbox"]
)
def test_a_trailing_slash_redirects_nowhere(running: Running, path: str) -> None:
    """A redirect would take the code to whatever host the request names."""
    answer = ask(running, f"{path}?state=s&code=c", host="evil.example")
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert "evil.example" not in answer.text
    assert "<h1>There is no such page</h1>" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/", 200, "<h1>Hitchpost</h1>"),
        ("GET", "/nothing", 404, "<h1>There is no such page</h1>"),
        ("GET", "/callback", 404, "<h1>There is no such page</h1>"),
        ("POST", "/", 405, "used like that</h1>"),
        ("POST", "/callback/sandbox", 405, "used like that</h1>"),
        ("GET", "/sandbox/consent", 405, "used like that</h1>"),
    ],
)
def test_every_address_has_a_page(running: Running, method: str, path: str, status: int, says: str) -> None:
    answer = ask(running, path, method)
    assert answer.status_code == status
    assert ("allow" in answer.headers) is (status == 405)
    assert says in answer.text
    assert "go back to the app that you came from" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sandbox/token"),
        ("GET", "/sandbox/revoke"),
        ("POST", "/sandbox/profiles"),
    ],
)
def test_oauth_clients_are_told_in_their_words(running: Running, method: str, path: str) -> None:
    answer = ask(running, path, method)
    assert (answer.status_code, answer.json()["error"]) == (405, "invalid_request")
    assert answer.headers["allow"]


def test_there_is_a_sentence_for_every_reason_that_a_person_may_meet() -> None:
    assert SENTENCES.keys() | ONLY_FOR_PROGRAMS == set(pb.ErrorReason.values())
    assert not SENTENCES.keys() & ONLY_FOR_PROGRAMS


@pytest.mark.parametrize("reason", SENTENCES, ids=lambda reason: pb.ErrorReason.Name(reason))
def test_people_read_what_they_can_do(reason: int) -> None:
    """Whole sentences, the last of which tells what to do; no word of an engineer's."""
    sentence = SENTENCES[reason]
    assert re.search(r"(go back to|reload|ask|tell) (the|this)", sentence, re.IGNORECASE)
    methods = {name for method in MESSAGES for name in method.split("/")}
    engineers = methods | {
        "API",
        "callback",
        "state",
        "token",
        "RPC",
        "OAuth",
        "database",
        "attempt",
        "redirect",
    }
    assert not [word for word in engineers if re.search(rf"\b{word}\b", sentence)]
    assert not re.search(r"[_{}<>`]", sentence)
    assert sentence[0].isupper()
    assert sentence.endswith(".")


# Contrast, as WCAG 2 has it


def schemes() -> dict[str, dict[str, str]]:
    """The colours of the light and the dark scheme, by their names in the style sheet."""
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", style(), re.DOTALL)
    )
    return {"light": light, "dark": dark}


def style() -> str:
    page = text("message.html", nonce="n", title="t", message="m")
    return page.partition("<style")[2].partition("</style>")[0]


def colour_of(selector: str, declaration: str) -> str:
    """The name of the colour that a rule of the style sheet uses."""
    [rule] = re.findall(rf"^  {re.escape(selector)} \{{(.*?)\}}", style(), re.DOTALL | re.MULTILINE)
    found = re.search(rf"\b{declaration}: [^;]*var\(--([a-z-]+)\)", rule)
    assert found, f"{selector} has no {declaration}"
    return str(found[1])


def test_contrast_is_computed_as_wcag_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(scheme: str) -> None:
    """4.5 to 1 or more: WCAG AA for text; buttons and fields stand out from the card as clearly."""
    colours = schemes()[scheme]
    on_card = {
        "text": "text",
        "soft text": "soft",
        "links": colour_of("a", "color"),
        "the deny button's edge": colour_of("button", "border"),
        "the deny button's text": colour_of("button", "color"),
        "a field's edge": colour_of("input[type=text]", "border"),
        "a placeholder": colour_of("::placeholder", "color"),
        "a wrong field's edge": "bad",
    }
    pairs = {what: (name, "card") for what, name in on_card.items()} | {
        "text on the page": ("text", "page"),
        "the first button": ("on-accent", "accent"),
        "good news": ("good", "good-back"),
        "bad news": ("bad", "bad-back"),
        "the badge": ("note", "note-back"),
    }
    unreadable = {
        what: round(contrast(colours[front], colours[back]), 2)
        for what, (front, back) in pairs.items()
        if contrast(colours[front], colours[back]) < 4.5
    }
    assert not unreadable

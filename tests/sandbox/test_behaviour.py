"""The sandbox does what it was told: in which calls, how often, for how long; by its API and by its page."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from server.sandbox.behaviours import ALL, BEHAVIOURS, NAMED, WRITES
from tests.conftest import Running
from tests.kit.sandbox import SandboxApp
from tests.kit.servers import REPOSITORY, eventually, serving
from tests.kit.support import unique
from tools.person import LastForm

BROWSER = {"Accept": "text/html"}


@pytest.fixture
def anybody(running: Running) -> Iterator[SandboxApp]:
    """At the web process itself; what it was told ends with the test."""
    app = SandboxApp(f"http://{running.settings.web_address}")
    yield app
    app.call("DELETE", "behaviour")


@pytest.fixture
def handle() -> str:
    return unique("mia")


@pytest.fixture
def mia(anybody: SandboxApp, handle: str) -> SandboxApp:
    return anybody.signed_in(handle)


def outcome(app: SandboxApp, path: str = "posts") -> str:
    """What a call that would succeed comes to: a status and the error's code, or the client's own error."""
    body = (
        {"json": {"text": "a"}}
        if path == "posts"
        else {"content": b"x", "headers": {"Content-Type": "image/png"}}
    )
    try:
        answer = app.call("POST", path, **body)
    except httpx2.RemoteProtocolError:
        return "no answer"
    if not answer.headers["content-type"].startswith("application/json"):
        return f"{answer.status_code} {answer.text}"
    return f"{answer.status_code} {answer.json().get('error', '')}".strip()


# What each comes to for a post, for an upload, and whether the post is there.
@pytest.mark.parametrize(
    ("behaviour", "posted", "uploaded", "is_there"),
    [
        ("slow", "201", "201", True),
        ("network", "no answer", "no answer", False),
        ("away", "503 away", "503 away", False),
        ("rate_limit", "429 rate_limited", "429 rate_limited", False),
        ("token_expired", "401 invalid_token", "401 invalid_token", False),
        ("auth", "401 login_required", "401 login_required", False),
        ("permission", "403 forbidden", "403 forbidden", False),
        ("media", "201", "422 media_refused", True),
        ("content", "422 text_refused", "201", False),
        ("duplicate", "409 duplicate", "201", False),
        ("platform", "500 failed", "500 failed", False),
        ("drop", "no answer", "201", True),
        ("gateway", "502 Bad Gateway", "201", True),
    ],
)
def test_what_it_does(
    mia: SandboxApp,
    handle: str,
    behaviour: str,
    posted: str,
    uploaded: str,
    is_there: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    how = {"delay": 0.01} if behaviour == "slow" else {}
    with mia.misbehaving(behaviour, **how):
        assert outcome(mia, "media") == uploaded
        assert outcome(mia) == posted
        # The timeline is there in any case: somebody wants to look.
        assert len(mia.look(handle)) == int(is_there)
    assert outcome(mia) == "201"
    # That there is no answer is no defect of the server's.
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_each_behaviour_is_tried_above() -> None:
    [table] = [mark for mark in test_what_it_does.pytestmark if mark.name == "parametrize"]
    assert [row[0] for row in table.args[1]] == list(NAMED)


@pytest.mark.parametrize("behaviour", [one.name for one in BEHAVIOURS if one.calls == ALL])
def test_what_is_away_is_away_for_logins_too(anybody: SandboxApp, behaviour: str) -> None:
    with anybody.misbehaving(behaviour):
        for path in ("token", "revoke", "profiles"):
            method = "GET" if path == "profiles" else "POST"
            if behaviour == "away":
                assert anybody.call(method, path).json()["error"] == "away"
            else:
                with pytest.raises(httpx2.RemoteProtocolError):
                    anybody.call(method, path)


def test_slow_calls_wait_and_then_go_as_they_were_told(mia: SandboxApp, handle: str) -> None:
    with mia.misbehaving("slow", delay=0.01), mia.misbehaving("drop"):
        assert [one["behaviour"] for one in mia.call("GET", "behaviour").json()["behaviours"]] == [
            "slow",
            "drop",
        ]
        assert outcome(mia) == "no answer"
    assert len(mia.look(handle)) == 1


def test_of_two_the_first_decides(mia: SandboxApp) -> None:
    mia.tell("content", next=2)
    mia.tell("rate_limit", next=1)
    assert [outcome(mia) for _ in range(4)] == [
        "429 rate_limited",
        "422 text_refused",
        "422 text_refused",
        "201",
    ]


def test_a_share_of_calls(mia: SandboxApp) -> None:
    mia.tell("content", share=0.5)
    seen = {outcome(mia) for _ in range(60)}
    assert seen == {"201", "422 text_refused"}


def test_seconds_end(mia: SandboxApp, running: Running) -> None:
    mia.tell("content", seconds=30)
    assert outcome(mia) == "422 text_refused"
    with running.clock.ahead(seconds=31):
        assert outcome(mia) == "201"
        assert mia.call("GET", "behaviour").json() == {"behaviours": []}


def test_retry_after_is_what_is_left_of_it(mia: SandboxApp, running: Running) -> None:
    mia.tell("rate_limit", seconds=30)
    with running.clock.ahead(seconds=20):
        answer = mia.call("POST", "posts", json={"text": "a"})
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    mia.tell("away")
    assert 50 <= int(mia.call("POST", "posts", json={"text": "a"}).headers["retry-after"]) <= 60


def test_one_can_be_ended_alone(mia: SandboxApp) -> None:
    mia.tell("content")
    mia.tell("away")
    assert mia.call("DELETE", "behaviour?behaviour=away").status_code == 204
    assert mia.call("GET", "behaviour").json() == {"behaviours": [{"behaviour": "content"}]}


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"behaviour": "nice"},
        {"behaviour": "drop", "share": 0},
        {"behaviour": "drop", "share": 1.1},
        {"behaviour": "drop", "share": 0.5, "next": 1},
        {"behaviour": "drop", "next": 0},
        {"behaviour": "drop", "seconds": -1},
        {"behaviour": "drop", "delay": 1},
        {"behaviour": "slow", "delay": 61},
        {"behaviour": "drop", "often": True},
    ],
)
def test_what_can_not_be_told(anybody: SandboxApp, order: dict[str, object]) -> None:
    answer = anybody.call("POST", "behaviour", json=order)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert anybody.call("GET", "behaviour").json() == {"behaviours": []}


def test_the_page_tells_it_and_ends_it(anybody: SandboxApp, mia: SandboxApp, running: Running) -> None:
    address = f"{anybody.url}/sandbox/behaviour"
    with httpx2.Client(trust_env=False, verify=False, headers=BROWSER) as browser:
        page = browser.get(address)
        assert "It behaves well." in page.text
        token = LastForm(page.text).fields["form_token"][0]
        wrong = browser.post(address, data={"form_token": token, "behaviour": "drop", "share": "2"})
        assert (wrong.status_code, 'role="alert"' in wrong.text) == (422, True)
        told = browser.post(
            address,
            data={
                "form_token": token,
                "behaviour": "slow",
                "next": "3",
                "share": "",
                "seconds": "9",
                "delay": "0.5",
            },
        )
        assert (told.status_code, told.headers["location"]) == (303, "behaviour")
        [one] = anybody.call("GET", "behaviour").json()["behaviours"]
        assert (one["behaviour"], one["next"], one["delay"]) == ("slow", 3, 0.5)
        assert "It answers late by 0.5 s, the next 3 times" in browser.get(address).text
        browser.post(address, data={"form_token": token, "reset": "slow"})
        assert anybody.call("GET", "behaviour").json() == {"behaviours": []}


def test_only_the_page_itself_can_send_its_form(anybody: SandboxApp) -> None:
    address = f"{anybody.url}/sandbox/behaviour"
    with httpx2.Client(trust_env=False, verify=False, headers=BROWSER) as browser:
        page = browser.get(address)
        assert re.search(r"Path=/sandbox;.*SameSite=strict", page.headers["set-cookie"])
        assert "HttpOnly" in page.headers["set-cookie"]
        form = {"behaviour": "drop", "form_token": LastForm(page.text).fields["form_token"][0]}
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert browser.post(address, data=form, headers=elsewhere).status_code == 400
        assert browser.post(address, data=form | {"form_token": "x"}).status_code == 400
        # A site may send text that looks like JSON, but not call it so.
        json = browser.post(address, content='{"behaviour": "drop"}', headers={"Content-Type": "text/plain"})
        assert json.status_code == 400
    with httpx2.Client(trust_env=False, verify=False, headers=BROWSER) as other:
        assert other.post(address, data=form).status_code == 400
    assert anybody.call("GET", "behaviour").json() == {"behaviours": []}


def test_every_web_process_does_it(run_dir: Path, new_database: Callable[[], str]) -> None:
    with serving(run_dir, new_database(), web_workers="2") as server:
        mia = SandboxApp(server.web_url).signed_in("mia")
        mia.tell("away")
        answered: list[str] = []

        # Each call has a connection of its own, and the kernel chooses which process takes it.
        def both() -> bool:
            answered.append(outcome(mia))
            lines = server.logged(message="request", path="/sandbox/posts")
            return len({line["process"] for line in lines}) == 2

        eventually("both processes were asked", both)
        assert set(answered) == {"503 away"}


def test_the_documentation_has_each_with_its_answer() -> None:
    text = (REPOSITORY / "docs" / "sandbox.md").read_text()
    for one in BEHAVIOURS:
        [row] = [line for line in text.splitlines() if line.startswith(f"| `{one.name}` |")]
        where = (
            "every call" if one.calls == ALL else "uploads, posts" if one.calls == WRITES else one.calls[0]
        )
        assert where.rstrip("s") in row, row
        if one.status:
            assert f"{one.status}" in row
            assert one.error == "" or f"`{one.error}`" in row
        assert ("the post is published" in row) is one.done, row

"""The connect flow and /docs in a real browser, which obeys the pages' Content-Security-Policy."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from server.rpc.registry import RPCS
from tests.conftest import Running
from tests.kit.bluesky import Pds
from tests.kit.colours import contrast
from tests.kit.sandbox import SandboxApp
from tests.kit.support import Client, recorder, unique
from tests.kit.tricks import TRICKS
from tests.kit.web import serving

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
]
WAIT_SECONDS = 15.0

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)",
)


class Browser:
    """A person at a real browser: types, clicks, and looks where that leads."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Types an address."""
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        """The element, as soon as it is on the page."""
        return self._wait(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector), selector)[0]

    def text(self) -> str:
        """What the page says."""
        return self.find("main").text

    def sign_in(self, handle: str, pages: str = "") -> None:
        """Fills in the sign-in page and waits for the consent page."""
        self.find("#handle").send_keys(handle)
        self.find("#pages").send_keys(pages)
        self.find("button.primary").click()
        self.find("button[value=approve]")

    def decide(self, decision: str) -> None:
        """Clicks on Approve or Deny."""
        self.find(f"button[value={decision}]").click()

    def colour(self, selector: str, name: str, pseudo: str | None = None) -> str:
        """A colour as the page comes out, as #rrggbb."""
        computed = "return getComputedStyle(arguments[0], arguments[2]).getPropertyValue(arguments[1])"
        said = self.driver.execute_script(computed, self.find(selector), name, pseudo)
        numbers = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", said)
        assert numbers, said
        return "#" + "".join(f"{int(number):02x}" for number in numbers.groups())

    def card(self) -> str:
        """The colour behind everything."""
        return self.colour("main", "background-color")

    def arrives(self, url: str) -> dict[str, str]:
        """Waits until the browser is there, and returns the query that it came with."""
        self._wait(lambda driver: driver.current_url.partition("?")[0] == url, f"arrival at {url}")
        return dict(parse_qsl(urlsplit(self.driver.current_url).query))

    def _wait(self, condition: Callable[[webdriver.Chrome], Any], what: str) -> Any:
        try:
            return WebDriverWait(self.driver, WAIT_SECONDS, 0.05).until(condition)
        except Exception as error:
            where = urlsplit(self.driver.current_url)
            complaints = self.driver.get_log("browser")
            raise AssertionError(f"no {what}, but {where.path}; console: {complaints}") from error


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for all tests here. Selenium is told where everything is, so that it downloads nothing."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    profile = tmp_path_factory.mktemp("chromium") / "profile"
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SE_OFFLINE", "true")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        driver = webdriver.Chrome(options, Service(str(CHROMEDRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome) -> Iterator[Browser]:
    """The browser, signed out everywhere. Its console must have stayed empty at the end of the test."""
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.get_log("browser")
    yield Browser(driver)
    assert driver.get_log("browser") == []


@pytest.fixture(scope="module")
def return_url() -> Iterator[str]:
    """The page of a caller's own app, at another origin than Hitchpost."""

    def page(request: Request) -> Response:
        return HTMLResponse("<!doctype html><link rel=icon href='data:,'><main>Welcome back</main>")

    with serving(Starlette(routes=[Route("/done", page)])) as url:
        yield f"{url}/done"


def auth_url(client: Client, **fields: Any) -> str:
    answer = client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX", **fields)
    return str(answer.url)


def test_approve_ends_at_the_redirect_url(browser: Browser, client: Client, return_url: str) -> None:
    handle, page = unique("mia"), unique("cafe")
    browser.open(auth_url(client, external_id="user_1", redirect_url=return_url))
    browser.sign_in(handle, page)
    consent = browser.text()
    assert f"Signed in as @{handle}" in consent
    assert f"@{page}, a page you manage" in consent
    assert "Publish posts as these accounts" in consent
    for picture in browser.driver.find_elements(By.CSS_SELECTOR, ".account img"):
        assert picture.get_property("naturalWidth"), "the policy lets avatars load"
    assert browser.find("main").value_of_css_property("max-width") != "none", "and the style apply"
    browser.decide("approve")
    query = browser.arrives(return_url)
    assert browser.text() == "Welcome back"
    accounts = client("SocialAccountService/ListSocialAccounts").social_accounts
    assert {(account.username, account.external_id) for account in accounts} == {
        (handle, "user_1"),
        (page, "user_1"),
    }
    assert set(query.pop("social_account_ids").split(",")) == {account.id for account in accounts}
    assert query == {"status": "connected"}


def test_deny_ends_at_the_redirect_url(browser: Browser, client: Client, return_url: str) -> None:
    browser.open(auth_url(client, redirect_url=return_url))
    browser.sign_in(unique("mia"))
    browser.decide("deny")
    assert browser.arrives(return_url) == {"status": "failed", "reason": "AUTH_DENIED"}
    assert not client("SocialAccountService/ListSocialAccounts").social_accounts


def test_a_hijack_is_refused(browser: Browser, client: Client, return_url: str) -> None:
    browser.open(auth_url(client, external_id="alice", redirect_url=return_url))
    browser.sign_in(unique("mia"))
    browser.decide("approve")
    assert browser.arrives(return_url)["status"] == "connected"
    browser.open(auth_url(client, external_id="bob", redirect_url=return_url))
    browser.decide("approve")
    assert browser.arrives(return_url) == {"status": "failed", "reason": "OWNED_BY_ANOTHER"}
    [account] = client("SocialAccountService/ListSocialAccounts").social_accounts
    assert account.external_id == "alice"


def test_without_a_redirect_url_the_result_is_a_page(
    browser: Browser, client: Client, running: Running
) -> None:
    handle = unique("mia")
    browser.open(auth_url(client))
    browser.sign_in(handle)
    browser.decide("approve")
    browser.arrives(f"{running.settings.callback_url}/sandbox")
    shown = browser.text()
    recorder.add(browser.driver.page_source)
    assert shown.startswith("Connected")
    assert f"@{handle}" in shown.splitlines()
    assert browser.find(".account img").get_property("naturalWidth")


def test_a_reload_shows_the_same_page(browser: Browser, client: Client, running: Running) -> None:
    """With the cookies as the browser keeps and sends them: it came from another site."""
    browser.open(auth_url(client))
    browser.sign_in(unique("mia"), unique("cafe"))
    browser.decide("approve")
    browser.arrives(f"{running.settings.callback_url}/sandbox")
    shown = browser.text()
    assert shown.startswith("Connected")
    for _ in range(2):
        browser.driver.refresh()
        assert browser.text() == shown
    browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.driver.refresh()
    assert browser.text().startswith("Not connected")
    browser.driver.get_log("browser")  # Chromium says there that the page was answered by 400.


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_placeholders_and_the_deny_button_can_be_seen(browser: Browser, client: Client, scheme: str) -> None:
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    browser.open(auth_url(client))
    assert contrast(browser.colour("#handle", "color", "::placeholder"), browser.card()) >= 4.5
    browser.sign_in(unique("mia"))
    deny = "button[value=deny]"
    assert contrast(browser.colour(deny, "color"), browser.card()) >= 4.5
    assert contrast(browser.colour(deny, "border-top-color"), browser.card()) >= 4.5


def test_chromium_reads_every_redirect_url_as_we_do(browser: Browser) -> None:
    """What we accept has the host for Chromium that it has for us; what we refuse need not."""
    read = "return arguments[0].map(url => { try { return new URL(url).hostname } catch { return null } })"
    hosts = dict(zip(TRICKS, browser.driver.execute_script(read, list(TRICKS)), strict=True))
    accepted = {url: taken for url, taken in TRICKS.items() if taken is not None}
    assert {url: hosts[url] for url in accepted} == accepted
    # The table is worth something only while Chromium goes elsewhere than a careless reader would think.
    assert hosts["http://evil.example\\@localhost/"] == "evil.example"
    assert hosts["http://localhost@evil.example/"] == "evil.example"
    assert hosts["http://evil.exam\tple/"] == "evil.example"
    assert hosts["http:///evil.example/"] == "evil.example"
    assert hosts["http://evil\u3002example/"] == "evil.example"
    assert {hosts[url] for url in ("http://0x7f.1/", "http://2130706433/", "http://127.1/")} == {"127.0.0.1"}
    assert len(TRICKS) - len(accepted) >= 30


def test_the_documentation_shows_every_method_and_tries_one_out(
    browser: Browser, running: Running, client: Client
) -> None:
    account = client.connect()
    browser.open(f"http://{running.settings.web_address}/docs")
    block = "#operations-SocialAccountService-ListSocialAccounts"
    browser.find(block)
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, ".opblock")) == len(RPCS)
    browser.find(".auth-wrapper .authorize").click()
    browser.find(".auth-container input").send_keys(client.key or "")
    browser.find(".auth-container button.authorize").click()
    browser.find(".auth-container button.btn-done").click()
    browser.find(f"{block} .opblock-summary-control").click()
    browser.find(f"{block} .try-out__btn").click()
    browser.find(f"{block} .execute").click()
    assert browser.find(f"{block} .live-responses-table .response .response-col_status").text.startswith(
        "200"
    )
    assert account.id in browser.find(f"{block} .live-responses-table .response .microlight").text


def test_the_documentation_asks_no_other_address(browser: Browser, running: Running) -> None:
    browser.open(f"http://{running.settings.web_address}/docs")
    browser.find(".opblock")
    asked = browser.driver.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {
        running.settings.web_address
    }


def test_an_account_of_bluesky_is_connected_at_its_own_server(
    browser: Browser, client: Client, pds: Pds, return_url: str
) -> None:
    """Its pages, and what a browser makes of their headers and cookies on the way to ours."""
    person = pds.new_account()
    options = {"bluesky": {"handle": person.handle}}
    fields = {"external_id": "alice", "redirect_url": return_url, "platform_options": options}
    browser.open(client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_BLUESKY", **fields).url)
    assert browser.find("input[name=username]").get_attribute("value") == person.handle
    browser.find("input[name=password]").send_keys(person.password)
    browser.find("button[type=submit]").click()
    browser.find("body:not(:has(input[name=password])) button[type=submit]")
    # What its own pages make a browser complain about.
    browser.driver.get_log("browser")
    browser.find("button[type=submit]").click()
    query = browser.arrives(return_url)
    [account] = client("SocialAccountService/ListSocialAccounts").social_accounts
    assert query == {"status": "connected", "social_account_ids": account.id}
    assert (account.platform_user_id, account.username) == (person.did, person.handle)
    assert account.external_id == "alice"


@pytest.mark.parametrize("width", [360, 1200])
def test_the_timeline_shows_pictures_and_fits(browser: Browser, running: Running, width: int) -> None:
    """At a telephone's width, too; the page's policy lets pictures and films of the sandbox's own be seen."""
    app = SandboxApp(f"http://{running.settings.web_address}").signed_in(unique("mia"))
    media = [{"id": app.upload(), "alt_text": "A sunrise"}, {"id": app.upload(b"\0", "video/mp4")}]
    post = app.publish("a" * 200, media=media)
    app.publish("and more", reply_to=post["id"])
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.open(f"{running.settings.public_url}/sandbox/timeline")
        picture = browser.find(f"#{post['id']} .media img")
        assert browser.driver.execute_script("return arguments[0].naturalWidth", picture) == 960
        assert browser.find(f"#{post['id']} video").get_attribute("aria-label") == ""
        wide = browser.driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        browser.find(f"#{post['id']} a.when").click()
        browser.arrives(post["url"])
        assert "and more" in browser.text()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_sandbox_is_told_to_misbehave_by_its_page(browser: Browser, running: Running) -> None:
    app = SandboxApp(f"http://{running.settings.web_address}")
    browser.open(f"{running.settings.public_url}/sandbox")
    browser.find("a[href='sandbox/behaviour']").click()
    assert "It behaves well." in browser.text()
    browser.find("option[value=drop]").click()
    browser.find("#share").send_keys("0.05")
    browser.find("button.primary").click()
    browser.find("button[name=reset][value=drop]")
    assert "in 5% of calls" in browser.text()
    assert app.call("GET", "behaviour").json() == {"behaviours": [{"behaviour": "drop", "share": 0.05}]}
    browser.find("button[name=reset][value='']").click()
    browser.find(".good")
    assert app.call("GET", "behaviour").json() == {"behaviours": []}

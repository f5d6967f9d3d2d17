"""The story in every language that this machine has: each client must pass every step of cases/story.yaml."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.languages import CHAPTERS, LANGUAGES, play
from tests.kit.certificates import Authority
from tests.kit.servers import local_channel, serving

STEPS = [str(chapter["step"]) for chapter in CHAPTERS]
passed: dict[str, list[str]] = {}


@pytest.fixture(scope="module")
def story(run_dir: Path, new_database: Callable[[], str]) -> Iterator[dict[str, str]]:
    """The environment of a client: a server in the clear, and one of the same database over TLS."""
    authority, url = Authority("the team's own CA"), new_database()
    identity = authority.identity("server")
    files = {"ca": authority.certificate, "cert": identity.certificate, "key": identity.key}
    for name, pem in files.items():
        (run_dir / f"{name}.pem").write_bytes(pem)
    tls = {"tls_cert": str(run_dir / "cert.pem"), "tls_key": str(run_dir / "key.pem")}
    # In dev mode a browser may be sent back to this machine.
    dev = {"dev_mode": "true", "data_dir": str(run_dir)}
    with (
        serving(run_dir, url, **dev) as plain,
        # One installation: the workers of both publish where browsers look.
        serving(run_dir, url, **tls, public_url=plain.web_url) as secure,
    ):
        with local_channel(plain.address) as channel:
            key = plain.new_client(channel).key
        yield {
            "HITCHPOST_ADDRESS": plain.address,
            "HITCHPOST_TLS_ADDRESS": secure.address,
            "HITCHPOST_WEB_URL": plain.web_url,
            "HITCHPOST_CA_FILE": str(run_dir / "ca.pem"),
            "HITCHPOST_KEY": key or "",
        }


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    """Prints which language has passed which step."""
    yield
    print(f"\n{'step':<22}" + "".join(f"{name:<12}" for name in LANGUAGES))
    for step in STEPS:
        marks = (language.mark(step, passed.get(name, [])) for name, language in LANGUAGES.items())
        print(f"{step:<22}" + "".join(f"{mark:<12}" for mark in marks))


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_story(name: str, story: dict[str, str], tmp_path: Path) -> None:
    language = LANGUAGES[name]
    assert language.leaves_out <= set(STEPS)
    missing = [tool for tool in language.tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{name}: this machine has no {', '.join(missing)}")
    played = play(name, story, tmp_path)
    passed[name] = played.passed
    assert played.code == 0, played.said
    assert played.passed == language.steps

"""The systemd unit: systemd's own checks of it."""

from pathlib import Path

from server.config import Settings
from tests.deploy import tools

UNIT = tools.DEPLOY / "systemd" / "hitchpost@.service"
# Of ten, in tenths; what is left is that it may use the network.
MOST_EXPOSED = "20"


def test_systemd_takes_it(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # The program is not where it will be.
    unit.write_text(UNIT.read_text().replace("/opt/hitchpost/bin/hitchpost", "/bin/true"))
    verified = tools.attempt("systemd-analyze", "verify", str(unit))
    assert (verified.returncode, verified.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectSystem=", "ProtectSytem="))
    assert "ProtectSytem" in tools.attempt("systemd-analyze", "verify", str(unit)).stderr


def test_it_exposes_little() -> None:
    tools.run("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(UNIT))


def test_it_waits_for_calls_in_flight() -> None:
    [seconds] = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if "TimeoutStopSec" in line]
    assert int(seconds) > Settings.model_fields["drain_timeout"].default.total_seconds() + 5

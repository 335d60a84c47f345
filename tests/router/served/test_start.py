"""What a router says when it starts, and when it will not."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from ekiben.process.environ import BadSetting
from ekiben.state.user import SaltMissing, user_salt
from router.settings import Settings
from tests.router.running import ROOT, ask, predict, router_environment, running_router

KEY = "s3cret-of-shop"


def refusal(folder: Path, **settings: str) -> str:
    """The one line of a router that does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "router"],
        cwd=ROOT,
        env=router_environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("router: ")
    return line


def test_keys_that_cannot_be_read_are_told_in_one_line_without_them(tmp_path: Path) -> None:
    line = refusal(tmp_path, api_keys=f"{KEY}:predict,{KEY}-2:admin:5")
    assert "EKIBEN_API_KEYS: key 2" in line
    assert "s3cret" not in line


def test_off_loopback_it_does_not_start_without_a_salt(tmp_path: Path) -> None:
    assert "EKIBEN_USER_SALT is required when listening on 0.0.0.0" in refusal(tmp_path, host="0.0.0.0")


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert "data" in refusal(tmp_path)


def test_an_address_that_is_no_redis_is_told_in_one_line_without_its_password(tmp_path: Path) -> None:
    line = refusal(tmp_path, cache_url="http://:s3cret@redis:6379")
    assert "EKIBEN_CACHE_URL" in line
    assert "s3cret" not in line


def test_its_address_is_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    for environ in ({}, {"EKIBEN_HOST": ""}):
        assert Settings.from_environ({"EKIBEN_DATA_DIR": str(tmp_path), **environ}).host == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "router.example", ""])
def test_a_salt_is_required_wherever_others_can_reach_it(tmp_path: Path, host: str) -> None:
    with pytest.raises(SaltMissing):
        user_salt({}, tmp_path, host)
    assert user_salt({"EKIBEN_USER_SALT": "a long salt"}, tmp_path, host) == b"a long salt"


def test_draining_is_a_part_of_the_grace(tmp_path: Path) -> None:
    environ = {"EKIBEN_DATA_DIR": str(tmp_path), "EKIBEN_SHUTDOWN_GRACE_S": "5"}
    assert Settings.from_environ(environ).drain_s == 1.0
    with pytest.raises(BadSetting, match="EKIBEN_DRAIN_S"):
        Settings.from_environ({**environ, "EKIBEN_DRAIN_S": "5"})
    assert Settings.from_environ({**environ, "EKIBEN_SHUTDOWN_GRACE_S": "1"}).drain_s == 0.0


def test_settings_do_not_show_their_keys(tmp_path: Path) -> None:
    environ = {"EKIBEN_DATA_DIR": str(tmp_path), "EKIBEN_API_KEYS": KEY}
    assert KEY not in repr(Settings.from_environ(environ))


def test_without_keys_it_says_that_it_is_open_and_where(folder: Path) -> None:
    with running_router(folder) as router:
        (line,) = [line for line in router.told() if line["message"].startswith("open:")]
        assert f"http://127.0.0.1:{router.port}" in line["message"]
        assert line["level"] == "warning"
        sockets = [line.split() for name in ("tcp", "tcp6") for line in _lines(Path("/proc/net") / name)]
        listening = [local for _, local, _, state, *_ in sockets if state == "0A"]
        # 127.0.0.1, in the kernel's writing, and nothing else.
        assert [each for each in listening if each.endswith(f":{router.port:04X}")] == [
            f"0100007F:{router.port:04X}"
        ]


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:] if table.exists() else []


def test_with_keys_it_is_closed_and_a_key_is_neither_in_its_logs_nor_in_its_metrics(folder: Path) -> None:
    name = hashlib.sha256(KEY.encode()).hexdigest()[:12]
    with running_router(folder, api_keys=f"{KEY}:predict", log_level="debug") as router:
        assert not any(line["message"].startswith("open:") for line in router.told())
        assert predict(router.port).status == 401
        assert predict(router.port, Authorization="Bearer s3cret-of-nobody").status == 401
        for _ in range(10):
            assert predict(router.port, Authorization=f"Bearer {KEY}").status == 200
        metrics = ask(router.port, "/metrics").body.decode()
        assert f'ekiben_key_requests_total{{key="{name}"}} 10.0' in metrics
        assert "s3cret" not in metrics
        assert "s3cret" not in router.log.read_text()

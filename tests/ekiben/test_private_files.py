"""What Ekiben keeps on disk is its user's alone, and no log holds a token."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ekiben.process.printable import without_password
from ekiben.process.private import keep_private, private_folder, private_opener
from tests.ekiben.running import ONE_VERSION, PATIENCE_S, ROOT, environment, on_free_ports, start_up
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def usual_umask() -> object:
    held = os.umask(0o022)
    yield
    os.umask(held)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[str]:
    """Everything in a folder, and itself, that its group or others may read, write or enter."""
    return [str(path) for path in (folder, *folder.rglob("*")) if path.exists() and mode(path) & 0o077]


def test_up_leaves_nothing_that_others_may_read_and_no_token_in_a_log(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(on_free_ports(ONE_VERSION))
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "logs").mkdir(mode=0o755)
    (data / "logs" / "router.log").touch(mode=0o644)
    env = environment(data, tmp_path / "experiments.yaml")
    with start_up(["--no-demo"], env) as up:
        up.wait_for("Ctrl-C")
        wait_for(lambda: (data / "controller.json").exists() and (data / "snapshot.json").exists())
        assert open_to_others(data) == []
        token = (data / "admin_token").read_text()
        assert f"in {data / 'admin_token'}" in up.out.read_text()
    logs = list((data / "logs").iterdir())
    assert {"controller.log", "router.log", "redis-state.log"} <= {log.name for log in logs}
    for text in (up.out, up.err, *logs):
        assert token not in text.read_text(errors="replace"), text


def test_a_controller_shows_the_token_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    env = {**os.environ, "EKIBEN_DATA_DIR": str(tmp_path / "data"), "EKIBEN_CONTROLLER_PORT": "0",
           "EKIBEN_STATE_URL": "unix:///tmp/nobody-listens-here"}  # fmt: skip
    for name in ("EKIBEN_ADMIN_TOKEN", "EKIBEN_HOST"):
        env.pop(name, None)
    command = [sys.executable, "-m", "ekiben.control"]
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=follower)
    os.close(follower)
    try:
        shown = b""
        while b"admin token is" not in shown:
            shown += os.read(leader, 4096)
        while b"\n" not in shown.partition(b"admin token is")[2]:
            shown += os.read(leader, 4096)
        token = (tmp_path / "data" / "admin_token").read_text()
        assert f"the admin token is {token}" in shown.decode()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        os.close(leader)
    log = (tmp_path / "out").read_text()
    assert (token in log, "admin_token" in log) == (False, True)


def test_a_folder_that_was_open_is_made_private_and_so_is_what_is_made_later(tmp_path: Path) -> None:
    held = tmp_path / "data"
    held.mkdir(mode=0o775)
    held.chmod(0o775)
    keep_private(held)
    (held / "file").write_text("")
    assert (mode(held), mode(held / "file")) == (0o700, 0o600)


def test_a_volume_that_hands_its_group_down_stays_as_it_is_and_its_group_may_read(tmp_path: Path) -> None:
    held = tmp_path / "volume"
    held.mkdir()
    held.chmod(0o2770)
    keep_private(held)
    (held / "file").write_text("")
    (held / "folder").mkdir()
    assert (mode(held), mode(held / "file"), mode(held / "folder")) == (0o2770, 0o660, 0o2770)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a folder away")
def test_another_users_volume_stays_as_it_is(tmp_path: Path) -> None:
    held = tmp_path / "volume"
    held.mkdir()
    held.chmod(0o775)
    os.chown(held, 12345, 0)
    keep_private(held)
    (held / "file").write_text("")
    assert (mode(held), mode(held / "file")) == (0o775, 0o660)


def test_a_folder_for_everybody_is_left_to_everybody(tmp_path: Path) -> None:
    held = tmp_path / "tmp"
    held.mkdir()
    held.chmod(0o1777)
    keep_private(held)
    (held / "file").write_text("")
    assert (mode(held), mode(held / "file")) == (0o1777, 0o600)


def test_a_folder_that_cannot_be_made_ends_nothing() -> None:
    keep_private(Path("/proc/nowhere/data"))


def test_new_folders_and_files_are_private_on_the_way(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "old").touch(mode=0o644)
    with open(tmp_path / "a" / "old", "ab", opener=private_opener):
        assert open_to_others(tmp_path / "a") == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@redis:6379/0", "redis://***@redis:6379/0"),
        ("rediss://u:s3c@ret@h/1", "rediss://***@h/1"),
        ("redis://:s3/c?r#et@h/1", "redis://***@h/1"),
        ("unix:///tmp/a.sock?password=s3cret", "unix:///tmp/a.sock?password=***"),
        ("redis://redis:6379/0?db=1", "redis://redis:6379/0?db=1"),
    ],
)
def test_no_password_is_shown_with_an_address(url: str, shown: str) -> None:
    assert without_password(url) == shown

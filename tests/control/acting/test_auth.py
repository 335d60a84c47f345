"""The admin token: made once, kept to oneself, compared without telling anything of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from control.auth import ATTEMPTS, EVERY_S, TOKEN_FILE, Auth, TooManyAttempts, bearer_token
from control.settings import Settings
from process.secret_file import kept_secret


def settings(folder: Path, host: str = "127.0.0.1", token: str = "") -> Settings:
    return Settings(state_url="redis://r", host=host, data_dir=folder, admin_token=token)


def test_without_a_token_one_is_made_once_and_only_its_user_can_read_it(tmp_path: Path) -> None:
    auth = Auth.from_settings(settings(tmp_path / "data"))
    file = tmp_path / "data" / "admin_token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text()
    assert len(token) >= 40
    assert auth.check(token)
    assert kept_secret(tmp_path / "data" / TOKEN_FILE) == token
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["admin_token"]


def test_a_token_that_is_set_is_the_one_and_no_file_is_made(tmp_path: Path) -> None:
    auth = Auth.from_settings(settings(tmp_path, token="given"))
    assert auth.check("given")
    assert not auth.check("other")
    assert not auth.check("")
    assert not auth.check("\ud800")
    assert list(tmp_path.iterdir()) == []


def test_only_on_loopback_is_reading_open(tmp_path: Path) -> None:
    assert Auth.from_settings(settings(tmp_path, token="t")).reads_open
    assert not Auth.from_settings(settings(tmp_path, "0.0.0.0", "t")).reads_open


def test_an_empty_token_is_no_token() -> None:
    with pytest.raises(ValueError, match="would let everyone in"):
        Auth("")


def test_after_too_many_wrong_tokens_a_client_has_to_wait_and_others_need_not() -> None:
    now = 1000.0
    auth = Auth("right", clock=lambda: now)
    for _ in range(ATTEMPTS):
        assert not auth.check("wrong", "one")
    with pytest.raises(TooManyAttempts) as raised:
        auth.check("right", "one")
    assert raised.value.retry_after_s == EVERY_S + 1
    assert auth.check("right", "another")
    now += EVERY_S
    assert auth.check("right", "one")
    assert not auth.check("wrong", "one")
    with pytest.raises(TooManyAttempts):
        auth.check("right", "one")


def test_right_tokens_are_never_too_many() -> None:
    auth = Auth("right", clock=lambda: 0.0)
    assert all(auth.check("right") for _ in range(1000))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer t\u00c3\u00b6ken", "t\u00f6ken"),
        ("Bearer t\u00f6ken", "t\u00f6ken"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        (None, None),
    ],
)
def test_the_token_is_what_follows_bearer(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token

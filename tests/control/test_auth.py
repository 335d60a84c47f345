"""The admin token: made once, kept to oneself, compared without telling anything of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ekiben.control.auth import ATTEMPTS, EVERY_S, TOKEN_FILE, Auth, TooManyAttempts, bearer_token
from ekiben.control.settings import Settings
from ekiben.process.environ import BadSetting
from ekiben.process.secret_file import kept_secret


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


def test_an_empty_token_is_no_token() -> None:
    with pytest.raises(ValueError, match="would let everyone in"):
        Auth("")


def test_after_too_many_wrong_tokens_a_client_has_to_wait_and_others_need_not() -> None:
    now = 1000.0
    auth = Auth("right", clock=lambda: now)
    for _ in range(ATTEMPTS):
        assert not auth.check("wrong", "one")
    with pytest.raises(TooManyAttempts) as raised:
        auth.check("wrong", "one")
    assert raised.value.retry_after_s == EVERY_S + 1
    assert not auth.check("wrong", "another")
    now += EVERY_S
    assert not auth.check("wrong", "one")
    with pytest.raises(TooManyAttempts):
        auth.check("wrong", "one")


def test_the_right_token_passes_whatever_wrong_ones_came_from_the_same_address() -> None:
    auth = Auth("right", clock=lambda: 0.0)
    for _ in range(ATTEMPTS):
        assert not auth.check("wrong", "the proxy")
    assert all(auth.check("right", "the proxy") for _ in range(1000))


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"EKIBEN_ADMIN_TOKEN": "x"}, "EKIBEN_ADMIN_TOKEN must have at least 16 characters"),
        ({"EKIBEN_TRUSTED_PROXIES": "proxy.example"}, "addresses or networks such as 10.2.0.0/16"),
        ({"EKIBEN_TRUSTED_USER_HEADER": "X-User"}, "needs EKIBEN_TRUSTED_PROXIES"),
        ({"EKIBEN_TRUSTED_USER_HEADER": "X User", "EKIBEN_TRUSTED_PROXIES": "10.0.0.1"}, "must be a header"),
        ({"EKIBEN_ADMINS": "mara"}, "needs EKIBEN_TRUSTED_USER_HEADER"),
    ],
)
def test_what_would_let_in_the_wrong_ones_is_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        Settings.from_environ({"REDIS_URL": "redis://r", **environ})


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

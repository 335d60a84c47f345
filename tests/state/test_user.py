"""The user's hash and the salt it is made with."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from ekiben.process.environ import BadSetting
from ekiben.process.http.names import is_loopback
from ekiben.state.user import SaltMissing, user_hash, user_salt


def test_the_hash_is_hmac_sha256_in_its_first_128_bits() -> None:
    assert user_hash(b"salt", "zoë") == hmac.new(b"salt", "zoë".encode(), hashlib.sha256).hexdigest()[:32]


def test_another_salt_or_another_user_is_another_hash() -> None:
    assert len({user_hash(salt, user) for salt in (b"a", b"b") for user in ("u", "v", "", "🍱")}) == 8


def test_a_salt_that_is_given_is_taken(tmp_path: Path) -> None:
    assert user_salt({"EKIBEN_USER_SALT": "given one"}, tmp_path / "none", "0.0.0.0") == b"given one"
    assert not (tmp_path / "none").exists()


def test_a_salt_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="EKIBEN_USER_SALT must have at least 8 characters, not 1"):
        user_salt({"EKIBEN_USER_SALT": "s"}, tmp_path, "127.0.0.1")
    (tmp_path / "user_salt").write_text("")
    with pytest.raises(BadSetting, match="user_salt must have at least 8 characters, not 0"):
        user_salt({}, tmp_path, "127.0.0.1")


def test_on_loopback_a_salt_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first = user_salt({}, tmp_path / "data", "127.0.0.1")
    assert len(first) == 64
    assert user_salt({}, tmp_path / "data", "localhost") == first
    kept = tmp_path / "data" / "user_salt"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["user_salt"]
    assert user_salt({}, tmp_path / "other", "127.0.0.1") != first


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_off_loopback_a_salt_has_to_be_given(tmp_path: Path, host: str) -> None:
    with pytest.raises(SaltMissing, match="EKIBEN_USER_SALT"):
        user_salt({}, tmp_path, host)


def test_loopback_is_known_in_its_spellings() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "127.example.com"))

"""User ids never enter events or logs in clear: a keyed hash stands for them."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import os
import secrets
from collections.abc import Mapping
from pathlib import Path


class SaltMissing(Exception):
    """No salt was given where one is required."""


def is_loopback(host: str) -> bool:
    """Whether a listener on `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, whatever it begins with


def user_salt(environ: Mapping[str, str], data_dir: Path, host: str) -> bytes:
    """`EKIBEN_USER_SALT`, or, for a router on loopback, one made once and kept in `data_dir`.

    Raises `SaltMissing` for a router that others can reach: replicas with salts of their own would count
    one user as several.
    """
    given = environ.get("EKIBEN_USER_SALT", "")
    if given:
        return given.encode()
    if not is_loopback(host):
        raise SaltMissing(
            f"EKIBEN_USER_SALT is required when listening on {host}: "
            "set the same random value for every router and controller"
        )
    path = data_dir / "user_salt"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Written whole beside its place, then linked: of several workers that start at once one wins.
        draft = data_dir / f".user_salt.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_bytes()


def user_hash(salt: bytes, user_id: str) -> str:
    """HMAC-SHA256 of a user id, the first 128 bits in hex: no way back without the salt."""
    return hmac.digest(salt, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256)[:16].hex()

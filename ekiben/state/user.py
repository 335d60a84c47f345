"""User ids never enter events or logs in clear: a keyed hash stands for them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ekiben.process.environ import secret
from ekiben.process.http.names import is_loopback
from ekiben.process.secret_file import kept_secret

MAX_USER_ID_CHARS: Final = 256


class SaltMissing(Exception):
    """No salt was given where one is required."""


def user_salt(environ: Mapping[str, str], data_dir: Path, host: str) -> bytes:
    """`EKIBEN_USER_SALT`, or, for a router on loopback, one made once and kept in `data_dir`.

    Raises `SaltMissing` for a router that others can reach: replicas with salts of their own would count
    one user as several. Raises `BadSetting` for a salt that can be guessed.
    """
    given = secret(environ, "EKIBEN_USER_SALT")
    if given:
        return given.encode()
    if not is_loopback(host):
        raise SaltMissing(
            f"EKIBEN_USER_SALT is required when listening on {host}: "
            "set the same random value for every router and controller"
        )
    return kept_secret(data_dir / "user_salt").encode()


def user_hash(salt: bytes, user_id: str) -> str:
    """HMAC-SHA256 of a user id, the first 128 bits in hex: no way back without the salt."""
    return hmac.digest(salt, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256)[:16].hex()


def id_hint(user_id: str) -> str | None:
    """What may be wrong with an id that no prediction knows: "blank" around it, or a "decimal" such as 7.0.

    Outcomes carry it, because their hash does not tell.
    """
    if user_id != user_id.strip():
        return "blank"
    return "decimal" if user_id.endswith(".0") and user_id[:-2].isdigit() else None

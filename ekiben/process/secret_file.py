"""Secrets that are made once and kept on disk, for those who set none."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ekiben.process.environ import require_secret
from ekiben.process.private import private_folder


def kept_secret(path: Path) -> str:
    """The secret in the file, 256 random bits in hex; made when there is no file. Only this user can read it.

    Raises `OSError`, and `BadSetting` when the file holds none: another one would be another identity.
    """
    private_folder(path.parent)
    if not path.exists():
        # Written whole beside its place, then linked: of several processes that start at once one wins.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    kept = path.read_text().strip()
    require_secret(f"the secret in {path}", kept)
    return kept

"""Forgetting by user id: events know only its hash, which takes the salt that the routers use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from control.admin import Forget
from control.forgetting import Forgetting
from control.settings import Settings
from state.user import user_hash, user_salt


def forget_by_id(forgetting: Forgetting, settings: Settings, environ: Mapping[str, str]) -> Forget:
    """What the admin API calls. It raises `NotForgotten`, and `SaltMissing` off loopback without a salt."""

    async def forget(user_id: str) -> Mapping[str, int]:
        salt = user_salt(environ, settings.data_dir, settings.host)
        return asdict(await forgetting.forget(user_hash(salt, user_id)))

    return forget

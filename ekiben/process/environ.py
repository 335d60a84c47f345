"""Reading settings from environment variables, with a refusal that says what a variable may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

LEAST_SECRET: Final = 8


class BadSetting(ValueError):
    """An environment variable that cannot be used; the message names it and says what it may be."""


def data_dir(environ: Mapping[str, str]) -> Path:
    """`EKIBEN_DATA_DIR`, or `.ekiben` when it is not set or empty."""
    return Path(environ.get("EKIBEN_DATA_DIR") or ".ekiben")


def experiments_file(environ: Mapping[str, str]) -> Path:
    """`EKIBEN_EXPERIMENTS_FILE`, or `experiments.yaml` when it is not set or empty."""
    return Path(environ.get("EKIBEN_EXPERIMENTS_FILE") or "experiments.yaml")


def whole(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """The whole number in a variable, `default` when it is not set or empty. Raises `BadSetting`."""
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise BadSetting(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def choice(environ: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of `choices`, `default` when the variable is not set or empty. Raises `BadSetting`."""
    text = environ.get(name, "") or default
    if text not in choices:
        raise BadSetting(f"{name} must be one of {', '.join(choices)}, not {text!r}")
    return text


def address(environ: Mapping[str, str], name: str, port: int) -> str:
    """The http(s) address in a variable, without a slash at its end; that of `port` on this machine when it
    is not set or empty. Raises `BadSetting`."""
    url = (environ.get(name) or f"http://127.0.0.1:{port}").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise BadSetting(f"{name} must begin with http:// or https://, and is {url!r}")
    return url


def secret(environ: Mapping[str, str], name: str, least: int = LEAST_SECRET) -> str:
    """The secret in a variable, empty when it is not set.

    Raises `BadSetting` for fewer than `least` characters.
    """
    text = environ.get(name, "")
    if text:
        require_secret(name, text, least)
    return text


def require_secret(what: str, text: str, least: int = LEAST_SECRET) -> None:
    """Raises `BadSetting` where a secret is so short that it can be guessed; it is not shown."""
    if len(text) < least:
        raise BadSetting(
            f"{what} must have at least {least} characters, not {len(text)}: set a random value, "
            "such as that of `openssl rand -hex 32`"
        )


def log_choices(environ: Mapping[str, str]) -> tuple[str, str]:
    """`EKIBEN_LOG_FORMAT` and `EKIBEN_LOG_LEVEL`. Raises `BadSetting`."""
    return (
        choice(environ, "EKIBEN_LOG_FORMAT", "json", ("json", "console")),
        choice(environ, "EKIBEN_LOG_LEVEL", "info", ("debug", "info", "warning", "error", "critical")),
    )

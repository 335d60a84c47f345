"""What several commands are given, and reading it: experiments, reasons, users and features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ekiben.terminal.errors import UsageError

Experiment = Annotated[
    str, typer.Argument(help="The experiment's key, such as credit-boosting.", show_default=False)
]
Why = Annotated[
    str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the history; asked for else.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking; needs --why.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
User = Annotated[str, typer.Option("--user", metavar="USER", help="The user's id.", show_default=False)]

MAX_USER_CHARS = 256  # the router takes no longer ones


def check_user(user: str) -> None:
    """Raise UsageError for what cannot be a user's id."""
    if not 0 < len(user) <= MAX_USER_CHARS:
        raise UsageError(f"--user must have 1 to {MAX_USER_CHARS} characters")
    if not user.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in user):
        raise UsageError("--user is not UTF-8")


def read_features(text: str) -> dict[str, Any]:
    """Return the object that `--features` gives, as JSON or as @ and a file. Raises UsageError."""
    content = text
    if text.startswith("@"):
        try:
            content = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UsageError(f"--features: cannot read {text[1:]}: {reason}") from None
    try:
        features = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"--features is not JSON ({error}): give an object, such as '{{\"age\": 41}}'"
        ) from None
    if not isinstance(features, dict):
        raise UsageError("--features must be a JSON object, such as '{\"age\": 41}'")
    return features

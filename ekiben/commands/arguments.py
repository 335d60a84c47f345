"""What several commands are given, and reading it: experiments, reasons, users and features."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ekiben.state.user import MAX_USER_ID_CHARS
from ekiben.terminal.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from ekiben.clients.controller import ControllerClient

Experiment = Annotated[
    str, typer.Argument(help="The experiment's key, such as credit-boosting.", show_default=False)
]
Why = Annotated[
    str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the history; asked if missing.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking; needs --why.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
User = Annotated[str, typer.Option("--user", metavar="USER", help="The user's id.", show_default=False)]


# These two import what takes longer than a command that does not need it.
def screen() -> Console:
    """Standard output, for text and tables of any origin."""
    from ekiben.terminal import screen as terminal

    return terminal.screen()


def controller() -> ControllerClient:
    """The controller of the environment. Raises `BadSetting`."""
    from ekiben.clients.controller import ControllerClient

    return ControllerClient.from_environ(os.environ)


def check_user(user: str) -> None:
    """Raise UsageError for what cannot be a user's id."""
    if not 0 < len(user) <= MAX_USER_ID_CHARS:
        raise UsageError(f"--user must have 1 to {MAX_USER_ID_CHARS} characters")
    if not user.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in user):
        raise UsageError("--user is not UTF-8")


def read_text(file: Path, prefix: str = "") -> str:
    """The text of a file. Raises UsageError, which begins with `prefix`."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{prefix}cannot read {file}: {why}") from None


def read_features(text: str) -> dict[str, Any]:
    """Return the object that `--features` gives, as JSON or as @ and a file. Raises UsageError."""
    content = read_text(Path(text[1:]), "--features: ") if text.startswith("@") else text
    try:
        features = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"--features is not JSON ({error}): give an object, such as '{{\"age\": 41}}'"
        ) from None
    if not isinstance(features, dict):
        raise UsageError("--features must be a JSON object, such as '{\"age\": 41}'")
    return features

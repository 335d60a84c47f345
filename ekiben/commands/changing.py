"""Making a change from the command line: look at what it would do, ask, do exactly that."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from ekiben.commands.arguments import controller, screen
from ekiben.terminal.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

# A dry run is not in the audit: its reason is read by nobody.
_LOOKING = "a look at what would change"


def change(path: str, body: Mapping[str, Any], *, why: str | None, yes: bool) -> None:
    """Show what the change would do, and make it once it is confirmed.

    What was confirmed is made on the revision that was shown or not at all; with `yes` nothing was confirmed,
    and it is decided on what is there. Raises EkibenError.
    """
    client, console = controller(), screen()
    check_given(why, yes)
    looked = client.change(path, {**body, "why": why or _LOOKING, "dry_run": True})
    if not looked["changes"]:
        console.print("Nothing changes.")
        return
    for line in looked["changes"]:
        console.print(f"  {line}", soft_wrap=True)
    if looked["consequence"]:
        console.print(looked["consequence"], soft_wrap=True)
    why, asked = confirm(console, why=why, yes=yes)
    revision = {"revision": looked["revision"]} if asked else {}
    done = client.change(path, {**body, "why": why, **revision})
    console.print(f"Done: revision {done['revision']}.")


def confirm(console: Console, *, why: str | None, yes: bool) -> tuple[str, bool]:
    """Ask for the reason unless it is given, and whether to go on unless `yes`; the reason, and whether
    anybody was asked. Ends the command when the answer is no. `check_given` comes before it.
    """
    if yes and why:
        return why, False
    why = why or str(typer.prompt("Why (for the history)"))
    if not typer.confirm("Do this?"):
        console.print("Nothing was changed.")
        raise typer.Exit(1)
    return why, True


def check_given(why: str | None, yes: bool) -> None:
    """Raise UsageError where a reason is missing, or nobody is there to ask."""
    if yes and not why:
        raise UsageError("--why is missing: the history keeps the reason")
    if not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to confirm this at: give --yes and --why")

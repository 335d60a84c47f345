"""The commands between a trained version and its first users: thin functions, one for each command."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated
from urllib.parse import quote

import typer

from ekiben.commands.arguments import Why, Yes, screen
from ekiben.commands.changing import change
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.settings import Settings

PANEL = "Deliver a version"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def gate(
    model: Annotated[str, typer.Argument(help="The model, such as credit.", show_default=False)],
    version: Annotated[str, typer.Argument(help="The version to check.", show_default=False)],
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="VERSION", help="Compare with this one.", show_default="the live one"
        ),
    ] = None,
) -> None:
    """Say whether a trained version may be deployed: it must not be worse than the live one.

    Both are compared on the same held-out rows, by the metrics and margins of training/gates.yaml. A table
    shows why; the exit code is 1 when it may not be deployed.
    """
    from ekiben.local.gate import pass_gate
    from ekiben.showing.explain import find_source

    if against is None:
        document = asyncio.run(find_source(Settings.from_environ(os.environ))).snapshot.document
        if model not in document.models:
            known = ", ".join(document.models)
            raise EkibenError(f"no model {model!r} is served (known: {known}): name a version with --against")
        against = document.models[model].live
    pass_gate(screen(), model, version, against)


@app.command(rich_help_panel=PANEL)
def shadow(
    model: Annotated[str, typer.Argument(help="The model, such as credit.", show_default=False)],
    version: Annotated[str, typer.Argument(help="The version that is to be watched.", show_default=False)],
    percent: Annotated[
        float, typer.Option("--percent", min=0, max=100, help="Requests that are copied; 0 ends it.")
    ] = 10.0,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint", metavar="URL", help="Where a new version answers; may be given several times."
        ),
    ] = None,
    why: Why = None,
    yes: Yes = False,
) -> None:
    """Copy a share of the requests to a version: its answers are compared and never served.

    The dashboard then shows how often it agrees with what was served: read that before its first user.
    """
    body = {"version": version, "percent": percent, "endpoints": endpoint or []}
    change(f"/models/{quote(model, safe='')}/shadow", body, why=why, yes=yes)

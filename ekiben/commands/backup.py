"""The commands that save and bring back an installation: thin functions, one for each command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ekiben.commands.arguments import screen

PANEL = "Back up and restore (with the variables of the controller)"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder for this backup.", show_default=False)
    ],
) -> None:
    """Save the experiments, their history, the events and the user salt in a folder, while everything runs.

    Everything that was confirmed before it begins is in it. It holds the user salt and the events: keep it as
    you keep a database.
    """
    from ekiben.backup.save import back_up

    console = screen()
    manifest = back_up(console, folder)
    size = sum(file.bytes for file in manifest.files.values())
    console.print(
        f"Saved in {folder}: revision {manifest.revision or 'none'}, {len(manifest.files):,} files, "
        f"{size / 1e6:,.1f} MB, in {manifest.ended_at - manifest.began_at:.0f} s.",
        soft_wrap=True,
    )


@app.command(rich_help_panel=PANEL)
def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of a finished backup.", show_default=False)
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what the installation holds now.")
    ] = False,
) -> None:
    """Put a backup into an empty installation.

    End the routers and controllers before, and start them afterwards. The experiments begin a new lineage:
    routers that know a later revision follow it.
    """
    from ekiben.backup.restore import restore
    from ekiben.showing.standing import moment

    console = screen()
    manifest = restore(console, folder, replace=replace)
    console.print(
        f"Restored as of {moment(manifest.began_at)}, revision {manifest.revision or 'none'}. "
        "Users who were forgotten after that are back: forget them again (ekiben events forget).",
        soft_wrap=True,
    )

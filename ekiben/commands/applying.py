"""The commands that bring a file to the controller, and those that forget a user: one function each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ekiben.commands.arguments import User, Why, Yes, controller, read_text, screen
from ekiben.commands.changing import change, check_given, confirm
from ekiben.terminal.errors import EkibenError

PANEL = "Change experiments (through a running controller)"
FILES = "Experiments files"

app = typer.Typer()
events = typer.Typer(
    no_args_is_help=True,
    help="Forget what was recorded of a user: `ekiben events forget`.",
    rich_markup_mode="markdown",
)

File = Annotated[Path, typer.Argument(help="The experiments file.", show_default=False)]


@app.command(rich_help_panel=PANEL)
def apply(file: File, why: Why = None, yes: Yes = False) -> None:
    """Apply what a file changes of the one that was applied last, after showing it.

    What a command or a ramp has done meanwhile stays. A value that both changed is refused with both, and so
    is what cannot follow what is there, such as other weights while an experiment runs.
    """
    change("/apply", {"document": read_text(file)}, why=why, yes=yes)


@app.command(rich_help_panel=PANEL)
def diff(file: File) -> None:
    """Show what `ekiben apply` would change, and change nothing.

    The exit code is 1 when the file cannot be applied, and 0 otherwise.
    """
    body = {"document": read_text(file), "why": "ekiben diff", "dry_run": True}
    looked = controller().change("/apply", body)
    for line in looked["changes"] or ["Nothing changes."]:
        screen().print(line, soft_wrap=True, markup=False)


@app.command(rich_help_panel=FILES)
def check(file: File) -> None:
    """Check an experiments file by itself, without a controller: for CI, before a change is merged.

    Each problem is a line with its place in the file, and the exit code is 1.
    """
    from ekiben.clients.document import read_document

    document = read_document(file, advice="").document
    models, experiments = len(document.models), len(document.experiments)
    screen().print(
        f"{file} is sound (models: {models}, experiments: {experiments})", soft_wrap=True, markup=False
    )


@app.command(rich_help_panel=FILES)
def probe(
    url: Annotated[
        str, typer.Argument(help="The server's address, as http://host:port.", show_default=False)
    ],
) -> None:
    """Ask a server that runs already what it is, and print how to write it into the experiments file.

    A BentoML service with several APIs gives an entry for each. The entries are a proposal: look them over.
    """
    from ekiben.probing.server import as_yaml
    from ekiben.probing.server import probe as probe_server

    typer.echo(as_yaml(probe_server(url)))


@events.command()
def forget(user: User, why: Why = None, yes: Yes = False) -> None:
    """Remove a user's events from the files and the streams, and the user from all overrides.

    There is no way back. Reports change with the next analysis. The exit code is 1 when there was nothing of
    this user: the request is in the history all the same, but the id may be misspelt.
    """
    client, console = controller(), screen()
    check_given(why, yes)
    console.print("The user's events and overrides are removed. There is no way back.")
    why, _ = confirm(console, why=why, yes=yes)
    removed = client.forget(user, why)
    if not removed["overrides"] and not any(removed["events"].values()):
        raise EkibenError(
            "nothing was found of this user: no events, no overrides. The request was carried out; "
            "check the spelling of the id, and EKIBEN_USER_SALT of the controller"
        )
    removals = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in removed["events"].items())
    console.print(f"Done: {removals or 'no events'}; {removed['overrides']} overrides.")

"""`ekiben outcomes …`: thin functions, one for each command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ekiben.commands.arguments import screen

app = typer.Typer(
    no_args_is_help=True, help="What happened after the predictions.", rich_markup_mode="markdown"
)


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV with a head, in UTF-8, or Parquet.", show_default=False),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The outcome's name, instead of a column `name`."),
    ] = None,
    value_column: Annotated[
        str, typer.Option("--value-column", metavar="COLUMN", help="The column that holds the values.")
    ] = "value",
    positive: Annotated[
        str | None,
        typer.Option(
            "--positive",
            metavar="VALUE",
            help="Count this value as 1, any other as 0: for labels. Numbers are compared as numbers.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="NAMES",
            help="Count each value as its place among these, from 0: for labels of several classes. "
            "Commas between them, in the order of the metric's `classes`.",
        ),
    ] = None,
    id_column: Annotated[
        str, typer.Option("--id-column", metavar="COLUMN", help="The column that holds the outcomes' ids.")
    ] = "id",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what is wrong with the file. Nothing is sent.")
    ] = False,
) -> None:
    """Import outcomes from a file, such as labels that a warehouse knows months later.

    Each line has a `prediction_id` or a `user_id`, a `name`, a `value`, and may have a time `at` (RFC 3339;
    a Parquet column of times without a zone is in UTC) and an `id`. Other columns are not read. Without
    `at` an outcome counts as of now. A line without a value (empty, NaN, null) is left out and counted.

    Importing a file again, or the rest of one that was broken off, is safe with the same API key: a line
    without an `id` gets one made of `prediction_id`, `user_id`, `name`, `value` and `at`, and of two outcomes
    with one id the first counts. So an equal line of next week's file is the same outcome: give lines times
    or ids where it is not.

    Wrong lines are listed by number (more than 20 of them: in FILE.rejected), the others are imported, and
    the exit code is 1. At the end the values are listed with the number of their lines.
    """
    from ekiben.clients.router import open_router
    from ekiben.importing.rows import Columns
    from ekiben.importing.run import import_outcomes
    from ekiben.importing.sender import PATIENCE_S, OutcomeSender

    names = tuple(each.strip() for each in (classes or "").split(",") if each.strip())
    columns = Columns(name, value_column, positive, id_column, names)
    with open_router(os.environ, PATIENCE_S) as router:
        sender = None if dry_run else OutcomeSender(router)
        found = import_outcomes(screen(), file, columns, sender)
    raise typer.Exit(1 if found.bad else 0)

"""The commands for models of one's own: thin functions, one for each command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ekiben.commands.arguments import screen
from ekiben.project.names import Kind
from ekiben.terminal.settings import Settings

PANEL = "Models of your own (in a project's folder)"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder, such as shop.", show_default=False)],
) -> None:
    """Begin a project of models: a git repository with everything but the models.

    It has services/, training/, loadtests/locustfile.py, models.yaml, experiments.yaml, a Makefile, a README
    and requirements. A folder that has anything in it is left as it is.
    """
    from ekiben.new.project import begin_project

    begin_project(screen(), folder)


@app.command(rich_help_panel=PANEL)
def new(
    model: Annotated[str, typer.Argument(help="The model's name, such as diabetes.", show_default=False)],
    version: Annotated[str, typer.Argument(help="The version's name, such as v1.", show_default=False)],
    kind: Annotated[
        Kind,
        typer.Option(
            help="What a new model predicts: a value, a probability of yes, one of several classes, or that "
            "of a text."
        ),
    ] = Kind.REGRESSION,
    features: Annotated[
        str,
        typer.Option(
            "--features",
            metavar="NAME,NAME,…",
            help="A new model's features. All begin as numbers; describe them in the file afterwards.",
            show_default=False,
        ),
    ] = "",
    classes: Annotated[
        str,
        typer.Option(
            "--classes", metavar="NAME,NAME,…", help="The classes of multiclass and text.", show_default=False
        ),
    ] = "",
    route: Annotated[
        bool, typer.Option("--route/--no-route", help="Write it into experiments.yaml, so that it is served.")
    ] = True,
) -> None:
    """Begin a version of your own: writes its service, its schema and its entry in models.yaml.

    For a new model it writes services/MODEL/schema.py, what the model is asked and what it answers, and
    training/MODEL/train.py, which makes a version of a CSV file. For every version it writes
    services/MODEL/VERSION.py, a BentoML service on the next free port, to which experiments.yaml routes.
    Nothing that is there is written over. What is left to do is printed.
    """
    from ekiben.new.version import Wanted, write_new

    wanted = Wanted(model, version, kind, _names(features), _names(classes))
    experiments_file = Settings.from_environ(os.environ).experiments_file
    write_new(screen(), Path.cwd(), experiments_file if route else None, wanted)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command(rich_help_panel=PANEL)
def train(
    model: Annotated[
        str | None, typer.Argument(help="The model, such as credit.", show_default="all of them")
    ] = None,
    version: Annotated[
        list[str] | None,
        typer.Option("--version", metavar="VERSION", help="Only this version; may be given several times."),
    ] = None,
) -> None:
    """Train and publish the versions of a model, and print how they compare.

    It runs training/MODEL/train.py of the folder where it is called. The published models are in the BentoML
    model store (`bentoml models list`). The same data and code give the same digest: training again changes
    nothing.
    """
    from ekiben.local.train import train_and_compare

    train_and_compare(screen(), Path.cwd(), model, version or None)


@app.command(rich_help_panel=PANEL)
def build(
    model: Annotated[str, typer.Argument(help="The model, such as churn.", show_default=False)],
    version: Annotated[
        str | None, typer.Argument(help="The version.", show_default="every published one")
    ] = None,
    image: Annotated[
        bool, typer.Option("--image/--no-image", help="Also a container image, with Docker or buildah.")
    ] = True,
) -> None:
    """Build a Bento of a published version, and a container image where Docker or buildah can.

    The Bento has the version's code, the library's and the model. What it installs is pinned to what is
    installed here.
    """
    from ekiben.building.versions import build_versions

    build_versions(screen(), Path.cwd(), model, version, image=image)

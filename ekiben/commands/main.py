"""The command line `ekiben`: thin functions, one for each command."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
import typer.main
from typer.core import TyperGroup

from ekiben.commands import applying, backup, delivery, outcomes, project, reading
from ekiben.commands.arguments import AsJson, Experiment, User, check_user, controller, read_features, screen
from ekiben.terminal.output import print_error, print_json
from ekiben.terminal.settings import Settings
from ekiben.terminal.shell import run_process


class _Commands(TyperGroup):
    """All commands. Those of the verbs are made when one is asked for: a document's types take a tenth of a
    second to load, for which no other command should wait.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        self._add_verbs()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._add_verbs()
        return super().get_command(ctx, cmd_name)

    def _add_verbs(self) -> None:
        from ekiben.commands.verbs import app as verbs

        self.commands.update(typer.main.get_group(verbs).commands)


app = typer.Typer(
    name="ekiben",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(outcomes.app, name="outcomes")
for _room in (project, reading, delivery, applying, backup):
    app.add_typer(_room.app)
app.add_typer(applying.events, name="events", rich_help_panel=applying.PANEL)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ekiben {version('ekiben')}")
        raise typer.Exit


@app.callback()
def ekiben(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Print the version of Ekiben and exit."
        ),
    ] = False,
) -> None:
    """Serve several versions of a model behind one address and find out which is better."""


@app.command()
def up(
    once: Annotated[bool, typer.Option("--once", help="End everything after the table: for CI.")] = False,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help="Send the 2,000 demo requests.")] = True,
    bench: Annotated[
        bool,
        typer.Option(
            "--bench", help="For measuring: no demo, one router worker, variants in equal parts, no shadow."
        ),
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The router's port.", show_default="3000")
    ] = None,
    scenario: Annotated[
        Literal["ramp", "no-difference", "bad-version", "biased-labels", "none"] | None,
        typer.Option(
            "--scenario",
            help="What the demo continues with, in fast motion.",
            show_default="ramp, none with --once",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what earlier runs left: experiments, events, history.")
    ] = False,
) -> None:
    """Start everything on this machine: Redis, a service for each version, router, controller, and a demo.

    It serves what experiments.yaml says and listens on 127.0.0.1 only. What is not trained yet is trained
    first. Then 2,000 loan applications that no model has seen go through the router, and a table shows what
    each version answered. A scenario follows: v2 is ramped up against v1 and promoted if the data say so
    (ramp), v3 is found to be no better than its equal (no-difference), a version that has gone wrong is
    rolled back (bad-version), or labels that only some have decide nothing (biased-labels). Ctrl-C ends
    everything.

    The logs are in .ekiben/logs, a file for each process.
    """
    from ekiben.up.run import Options, run

    settings = Settings.from_environ(os.environ)
    wanted = scenario or ("none" if once else "ramp")
    options = Options(
        port=port or settings.port,
        controller_port=settings.controller_port,
        once=once,
        demo=demo,
        bench=bench,
        scenario=wanted if wanted != "none" and demo and not bench else None,
        fresh=fresh,
    )
    raise typer.Exit(run(settings, options, screen()))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what the running router serves and, from the controller, where the experiments stand.

    They are those on this machine, or those that EKIBEN_ROUTER_URL and EKIBEN_CONTROLLER_URL name.
    """
    from ekiben.clients.router import open_router
    from ekiben.showing.status import find_standing, show_status

    client = controller()
    with open_router(os.environ) as router:
        found = find_standing(router, client)
    if as_json:
        print_json(found.to_json())
    else:
        show_status(screen(), found, router.url, client.url)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="The model to ask, such as credit.", show_default=False)],
    features: Annotated[
        str,
        typer.Option(
            "--features",
            metavar="JSON|@FILE",
            help="The features as a JSON object, such as '{\"age\": 41}', or @ and a file that holds one.",
            show_default=False,
        ),
    ],
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="USER", help="Who asks; without one the live version answers."),
    ] = None,
) -> None:
    """Ask the running router for a prediction and print its answer as JSON."""
    import msgspec

    from ekiben.clients.router import open_router

    if user is not None:
        check_user(user)
    row = read_features(features)
    with open_router(os.environ) as router:
        answer = router.predict(model, user, row)
    print_json(msgspec.to_builtins(answer))


@app.command()
def explain(experiment: Experiment, user: User, as_json: AsJson = False) -> None:
    """Explain which variant a user gets, and why: bucket, ranges, what decided, which revision.

    Needs no running router: what the experiments are is read from the state Redis, else from the router's
    copy on disk, else from experiments.yaml; the last line says which. Nothing is recorded.
    """
    from ekiben.showing import explain

    check_user(user)
    source = asyncio.run(explain.find_source(Settings.from_environ(os.environ)))
    explanation = explain.explain(source, experiment, user)
    if as_json:
        print_json(asdict(explanation))
    else:
        explain.show_explanation(screen(), explanation)


@app.command()
def panic(
    model: Annotated[
        str | None,
        typer.Argument(help="The model whose users all get live, such as credit.", show_default=False),
    ] = None,
    all_models: Annotated[bool, typer.Option("--all", help="Every model.")] = False,
    off: Annotated[bool, typer.Option("--off", help="End it: the experiments decide again.")] = False,
) -> None:
    """Send everyone of a model to its live version, now: for when an experiment goes wrong.

    It takes effect within a second and needs no Redis: the router's workers on this machine watch a file,
    EKIBEN_PANIC_FILE or else `panic` in the data directory, and this command writes it. It lasts, restarts
    too, until --off. With neither a model nor --all it shows for which models it is on.
    """
    from ekiben.local.panic import press

    said, doubt = press(Settings.from_environ(os.environ), os.environ, model, everyone=all_models, off=off)
    print_error(doubt)
    screen().print(said, soft_wrap=True)


def main() -> None:
    """Run the command line and exit."""
    raise SystemExit(run_process(app))

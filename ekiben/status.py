"""`ekiben status`: what a running router serves, and where the experiments stand."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from ekiben.client import RouterClient
from ekiben.controller import ControllerClient, NoController
from ekiben.errors import EkibenError
from ekiben.standing import show_standing
from ekiben.tables import NONE, plain_table


def show_status(console: Console, router: RouterClient, controller: ControllerClient) -> None:
    """Print what the router serves and what the controller knows, or that it does not answer.

    Raises EkibenError when neither does.
    """
    silent = None
    try:
        standing = controller.status()
    except NoController as error:
        standing, silent = None, str(error)
    try:
        show_router(console, router)
    except EkibenError as error:
        if standing is None:
            raise
        console.print(str(error), soft_wrap=True)
    console.print()
    if standing is None:
        console.print(silent, soft_wrap=True)
    else:
        show_standing(console, controller.url, standing)


def show_router(console: Console, router: RouterClient) -> None:
    """Print the router's state and a row for each endpoint of each version. Raises EkibenError."""
    health = router.health()
    state = "ready" if health.get("ready") else "not ready"
    console.print(f"router {router.url}: {state}, revision {health.get('revision') or NONE}", soft_wrap=True)
    dependencies = health.get("dependencies", {})
    redis = [f"{name} {dependencies[name]}" for name in ("cache", "state") if name in dependencies]
    console.print("Redis: " + ", ".join(redis))
    if not health.get("ready"):
        return
    for summary in router.models():
        console.print()
        console.print(status_table(router.model(summary["name"])))


def status_table(model: dict[str, Any]) -> Table:
    """One model: its versions, what they are, their endpoints and how those are."""
    experiment = model.get("experiment") or "none"
    table = plain_table(f"model {model['name']}: experiment {experiment}")
    for name in ("version", "model version", "framework", "endpoint", "health"):
        table.add_column(name, overflow="fold")
    for version, its in model["versions"].items():
        info = its.get("info") or {}
        for number, endpoint in enumerate(its["endpoints"]):
            first = number == 0
            live = " (live)" if version == model["live"] else ""
            table.add_row(
                version + live if first else "",
                str(info.get("model_version", NONE)) if first else "",
                str(info.get("framework", NONE)) if first else "",
                endpoint["url"],
                "healthy" if endpoint["healthy"] else f"down: {endpoint.get('last_error') or 'no answer'}",
            )
    return table

"""`ekiben status`: what a running router serves, and where the experiments stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from ekiben.client import BadAnswer, Client
from ekiben.clients.controller import ControllerClient, NoController
from ekiben.clients.router import in_a_line
from ekiben.showing.standing import show_standing
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.tables import NONE, plain_table


@dataclass(frozen=True, slots=True)
class Standing:
    """What the router and the controller answer, None for one that does not; `silent` says why."""

    router: dict[str, Any] | None
    controller: dict[str, Any] | None
    silent: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `ekiben status --json` prints it; docs/command-line.md describes the fields."""
        return {"router": self.router, "controller": self.controller, "silent": list(self.silent)}


def find_standing(router: Client, controller: ControllerClient) -> Standing:
    """Ask both. Raises EkibenError when neither answers."""
    silent = []
    routed = standing = None
    try:
        standing = controller.status()
    except NoController as error:
        silent.append(str(error))
    try:
        with in_a_line(router):
            routed = _routed(router)
    except EkibenError as error:
        if standing is None:
            raise
        silent.append(str(error))
    return Standing(routed, standing, tuple(silent))


def _routed(router: Client) -> dict[str, Any]:
    health = router.get("/healthz", also=(503,))
    if "ready" not in health:  # a controller has this page too
        raise BadAnswer(f"what answers at {router.url} is not an Ekiben router")
    names = [each["name"] for each in router.get("/models")["models"]] if health["ready"] else []
    return {**health, "models": [router.get(f"/models/{quote(name, safe='')}") for name in names]}


def show_status(console: Console, found: Standing, router_url: str, controller_url: str) -> None:
    """Print what the router serves and what the controller knows, or why one of them is silent."""
    if found.router is not None:
        show_router(console, router_url, found.router)
        console.print()
    for line in found.silent:
        console.print(line, soft_wrap=True)
    if found.controller is not None:
        show_standing(console, controller_url, found.controller)


def show_router(console: Console, url: str, router: dict[str, Any]) -> None:
    """Print the router's state and a row for each endpoint of each version."""
    state = "ready" if router.get("ready") else "not ready"
    console.print(f"router {url}: {state}, revision {router.get('revision') or NONE}", soft_wrap=True)
    dependencies = router.get("dependencies", {})
    redis = [f"{name} {dependencies[name]}" for name in ("cache", "state") if name in dependencies]
    console.print("Redis: " + ", ".join(redis))
    kept = router.get("state") or {}
    if kept.get("reason"):
        console.print(kept["reason"], soft_wrap=True, style="red")
    for model in router["models"]:
        console.print()
        console.print(status_table(model))


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
                endpoint.get("url", NONE),
                "healthy" if endpoint["healthy"] else f"down: {endpoint.get('last_error') or 'no answer'}",
            )
    return table

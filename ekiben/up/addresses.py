"""What `ekiben up` says can be opened, and tried, once everything runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ekiben.up.launch import Service


def show_addresses(
    console: Console,
    router_url: str,
    controller_url: str | None,
    services: Sequence[Service],
    elsewhere: Sequence[str],
    token_file: Path | None,
) -> None:
    """Print what can be opened in a browser, and on a terminal (a file would keep it) the token to log in."""
    lines = [
        *([("dashboard", f"{controller_url}/")] if controller_url else []),
        *([("admin token", _shown_token(console, token_file))] if token_file else []),
        ("router", f"{router_url}/docs  {router_url}/metrics  {router_url}/healthz"),
        *((f"{each.model} {each.version}", each.url) for each in services),
        *(("elsewhere", f"{endpoint} (taken as running)") for endpoint in elsewhere),
    ]
    width = max(len(name) for name, _ in lines)
    show_lines(console, "Open", [f"{name.ljust(width)}  {text}" for name, text in lines])


def show_lines(console: Console, title: str, lines: Collection[str]) -> None:
    """Print a title and the lines under it; nothing where there are none."""
    if not lines:
        return
    console.print(f"\n{title}")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _shown_token(console: Console, file: Path) -> str:
    return f"{file.read_text().strip()} (in {file})" if console.is_terminal else f"in {file}"


def show_curls(console: Console, router_url: str, features: Mapping[str, Mapping[str, Any]]) -> None:
    """Print for each model, with features of it, a request that can be copied into a shell."""
    commands = []
    for model, row in features.items():
        body = shlex.quote(json.dumps({"user_id": "u-17", "features": row}, ensure_ascii=False))
        commands.append(f"curl -s {router_url}/predict/{model} -H 'Content-Type: application/json' -d {body}")
    show_lines(console, "Try", commands)

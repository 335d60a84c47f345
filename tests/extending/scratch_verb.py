"""Run in the copy: the verb `narrow`, of which only the table knows, by every door."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest

from ekiben.commands.main import app
from ekiben.control.acting.editing import Editor
from ekiben.control.api.admin import openapi
from ekiben.control.auth import Auth
from ekiben.control.dashboard.app import Dashboard
from ekiben.terminal.shell import run_command
from tests.control.conftest import TOKEN, Scene, document
from tests.router.documents import EXPERIMENT


async def coverage(scene: Scene) -> float:
    held = await scene.desk.store.load()
    assert held is not None
    return held.document.experiments[EXPERIMENT].coverage


async def page(scene: Scene, path: str) -> str:
    """A page of the dashboard, as an admin sees it."""
    proxies = (ipaddress.ip_network("127.0.0.1/32"),)
    desk = scene.desk
    desk.settings = replace(
        desk.settings, trusted_user_header="x-user", trusted_proxies=proxies, admins=("jo",)
    )
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "scheme": "http", "server": ("127.0.0.1", 3100), "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1:3100"), (b"x-user", b"jo")],
    }  # fmt: skip
    sent: list[bytes] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, object]) -> None:
        body = message.get("body", b"")
        assert isinstance(body, bytes)
        sent.append(body)

    await Dashboard(desk, Auth.from_settings(desk.settings), Editor(desk))(scope, receive, send)  # type: ignore[arg-type]
    return b"".join(sent).decode()


async def test_it_is_in_the_api_and_its_description(scene: Scene) -> None:
    await scene.put(document())
    done = await scene.act("narrow", coverage=20)
    assert (done.status, await coverage(scene)) == (200, 20)
    assert done.body["consequence"].startswith("20 % of users take part")
    assert (await scene.act("narrow", coverage=200)).status == 400
    described = openapi()
    assert described["paths"]["/experiments/{key}/narrow"]["post"]["summary"] == "Let fewer users take part"
    assert described["components"]["schemas"]["NarrowBody"]["properties"]["coverage"]["maximum"] == 100


async def test_it_is_a_command(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("EKIBEN_CONTROLLER_URL", scene.url.removesuffix("/api"))
    monkeypatch.setenv("EKIBEN_ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("EKIBEN_DATA_DIR", str(tmp_path / "data"))
    await scene.put(document())
    done = ["narrow", EXPERIMENT, "--coverage", "7", "--yes", "--why", "care"]
    assert await asyncio.to_thread(run_command, app, done) == 0
    assert await coverage(scene) == 7
    assert await asyncio.to_thread(run_command, app, ["narrow", "--help"]) == 0
    assert "Percent of users" in capsys.readouterr().out


async def test_it_is_a_button_and_a_form(scene: Scene) -> None:
    await scene.put(document())
    assert f'href="/experiments/{EXPERIMENT}/narrow">Narrow</a>' in await page(
        scene, f"/experiments/{EXPERIMENT}"
    )
    form = await page(scene, f"/experiments/{EXPERIMENT}/narrow")
    assert "Users who still take part" in form
    assert 'name="coverage"' in form

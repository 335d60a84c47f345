"""What commands print: any stream takes it, it controls no terminal, and no error of it stops a change."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ekiben.experiments.lifecycle import Status
from ekiben.terminal.screen import screen
from ekiben.terminal.tables import plain_table
from tests.control.conftest import Scene, document
from tests.ekiben.running import ROOT
from tests.ekiben.test_verbs import SURE, Command, command, scene, status_of  # noqa: F401 - fixtures
from tests.router.documents import EXPERIMENT

PAUSE = ("pause", EXPERIMENT, "--yes", "--why", "zu teuer → weg")


async def run(*arguments: str, stdout: int = subprocess.PIPE, **environ: str) -> tuple[int, bytes, bytes]:
    """Run a command as people do: a process of its own, which writes to `stdout`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ekiben", *arguments),
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out or b"", err or b""


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
async def test_a_change_is_made_and_told_where_the_output_is_not_utf_8(
    scene: Scene,  # noqa: F811 - the fixture
    environ: dict[str, str],
) -> None:
    await scene.put(document())
    code, out, err = await run(*PAUSE, **environ)
    assert (code, err) == (0, b"")
    assert f"experiments.{EXPERIMENT}.status: running -> paused\n".encode() in out
    assert b"Done: revision 2." in out
    assert await status_of(scene) is Status.PAUSED


async def test_a_change_is_made_where_nobody_reads_the_output(scene: Scene) -> None:  # noqa: F811
    await scene.put(document())
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert await run(*PAUSE, stdout=writer) == (0, b"", b"")
    finally:
        os.close(writer)
    assert await status_of(scene) is Status.PAUSED


async def test_a_change_is_made_and_the_loss_told_where_the_output_is_full(scene: Scene) -> None:  # noqa: F811
    await scene.put(document())
    full = os.open("/dev/full", os.O_WRONLY)
    code, _, err = await run(*PAUSE, stdout=full)
    os.close(full)
    assert code == 1
    told = b"what was asked for is done, but not everything could be printed: No space left on device"
    assert err == b"ekiben: " + told + b"\n"
    assert await status_of(scene) is Status.PAUSED


async def test_a_closed_standard_output_is_taken_by_no_connection(scene: Scene) -> None:  # noqa: F811
    await scene.put(document())
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "{sys.executable}" -m ekiben "$@" >&-', "sh", *PAUSE,
        cwd=ROOT, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, err = await shell.communicate()
    assert (shell.returncode, err) == (0, b"")
    assert await status_of(scene) is Status.PAUSED


async def test_json_is_json_in_every_encoding(scene: Scene) -> None:  # noqa: F811
    await scene.put(document())
    await scene.act("pause", why="zu teuer → weg \u0085")
    for environ in ({}, {"PYTHONIOENCODING": "latin-1"}):
        code, out, _ = await run("history", EXPERIMENT, "--json", **environ)
        assert (code, json.loads(out)[0]["who"]) == (0, "admin")
        assert b"\xc2\x85" not in out


async def test_control_characters_of_others_never_reach_the_terminal(
    scene: Scene,  # noqa: F811 - the fixture
    command: Command,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EKIBEN_EXPERIMENTS_FILE", str(tmp_path / "experiments.yaml"))
    evil = "\x1b[2J\x9b31m\x07\u202e"
    await scene.put(document())
    (tmp_path / "labels.csv").write_text(f"user_id,value{evil}\nu-1,1\n")
    (tmp_path / "experiments.yaml").write_text('models: {"\\e[2J\\x9b31m": {live: v1}}\n')
    for arguments in (
        ("outcomes", "import", str(tmp_path / "labels.csv"), "--name", "x", "--dry-run"),
        ("apply", str(tmp_path / "experiments.yaml"), *SURE),
        ("explain", EXPERIMENT, "--user", "u"),
        ("pause", f"x{evil}", *SURE),
        (f"x{evil}",),
    ):
        code, out, err = await command(*arguments)
        assert (code != 0, bool(out + err)) == (True, True), arguments
        assert not set("\x1b\x9b\x07\u202e") & set(out + err), (arguments, out, err)


def test_the_console_escapes_control_characters_and_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    table = plain_table("a\x1b[1m")
    table.add_column("a column of some width")
    table.add_row("\x1b]0;owned\x07")
    screen().print(table)
    screen().print("\x1b[2J", style="red")
    printed = capsys.readouterr().out
    assert "a\\x1b[1m" in printed
    assert "\\x1b]0;owned" in printed
    assert "\x1b" not in printed

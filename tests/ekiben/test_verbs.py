"""The commands that go through the controller: what they show, ask, change and refuse."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from ekiben.commands.main import app
from ekiben.experiments.changes import edits
from ekiben.experiments.changes.verbs import VERBS
from ekiben.experiments.lifecycle import Status
from ekiben.state.documents.document import dump_document
from ekiben.state.documents.experiments_file import parse_experiments
from ekiben.terminal.shell import run_command
from tests.control.conftest import TOKEN, Scene, document, scene_over
from tests.control.evidence import put_report, report
from tests.ekiben.running import ROOT
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT

# Nobody listens there.
NOBODY = f"http://127.0.0.1:{free_port()}"
Command = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def scene(
    redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Scene]:
    """A controller's API over a real Redis, which this process's environment names."""
    async with scene_over(redis.url, tmp_path / "controller") as made:
        monkeypatch.setenv("EKIBEN_CONTROLLER_URL", made.url.removesuffix("/api"))
        monkeypatch.setenv("EKIBEN_ROUTER_URL", NOBODY)
        monkeypatch.setenv("EKIBEN_ADMIN_TOKEN", TOKEN)
        monkeypatch.setenv("EKIBEN_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("USER", "jo")
        yield made


@pytest.fixture
def command(scene: Scene, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command; its exit code, what it printed, its errors."""

    async def run(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run_command, app, list(arguments))
        await scene.desk.look()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


async def status_of(scene: Scene) -> Status:
    held = await scene.desk.store.load()
    assert held is not None
    return held.document.experiments[EXPERIMENT].status


SURE = ("--yes", "--why", "because")


async def test_a_verb_shows_what_changes_and_what_it_means_and_does_it(
    scene: Scene, command: Command
) -> None:
    await scene.put(document())
    code, out, err = await command("pause", EXPERIMENT, *SURE)
    assert (code, err) == (0, "")
    assert f"  experiments.{EXPERIMENT}.status: running → paused\n" in out
    assert "Everyone gets v1 until it is resumed" in out
    assert "Done: revision 2." in out
    assert await status_of(scene) is Status.PAUSED
    code, out, _ = await command("history", EXPERIMENT)
    first = out.splitlines()[0]
    assert first.endswith("UTC  revision 2  jo: because")


@pytest.mark.parametrize(
    ("before", "arguments", "after"),
    [
        ("draft", ["start", EXPERIMENT], Status.RUNNING),
        ("paused", ["resume", EXPERIMENT], Status.RUNNING),
        ("running", ["promote", EXPERIMENT], Status.PROMOTED),
        ("running", ["promote", EXPERIMENT, "treatment"], Status.PROMOTED),
        ("running", ["roll-back", EXPERIMENT], Status.ROLLED_BACK),
    ],
)
async def test_every_verb_leads_where_its_name_says(
    scene: Scene, command: Command, before: str, arguments: list[str], after: Status
) -> None:
    await scene.put(document(before))
    assert (await command(*arguments, *SURE))[0] == 0
    assert await status_of(scene) is after


async def test_a_ramp_is_set_changed_shown_and_taken_away(scene: Scene, command: Command) -> None:
    await scene.put(document())
    assert "has no ramp: 100 % of users take part" in (await command("ramp", EXPERIMENT))[1]
    steps = ("--steps", "2,10,50", "--every", "30m", "--min-users", "200", "--then", "promote")
    code, out, err = await command("ramp", EXPERIMENT, *steps, "--guardrails", "kept,error_rate", *SURE)
    assert (code, err) == (0, "")
    assert "A violation rolls back by itself" in out
    await command("ramp", EXPERIMENT, "--every", "1h", *SURE)
    shown = (await command("ramp", EXPERIMENT))[1]
    assert (
        "coverage by steps 2, 10, 50 %, each for at least 1h and 200 users a variant, then promote" in shown
    )
    assert "judged by kept, error_rate" in shown
    assert (await command("ramp", EXPERIMENT, "--off", *SURE))[0] == 0
    assert "has no ramp" in (await command("ramp", EXPERIMENT))[1]


async def test_a_file_is_applied_and_a_wrong_one_is_refused_with_its_lines(
    scene: Scene, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_text(yaml.safe_dump(dump_document(document("draft"))))
    assert (await command("apply", str(file), *SURE))[0] == 0
    file.write_text(yaml.safe_dump(dump_document(document("draft", coverage=5))))
    code, out, _ = await command("apply", str(file), *SURE)
    assert (code, f"  experiments.{EXPERIMENT}.coverage: 100 → 5\n" in out) == (0, True)
    assert "Nothing changes" in (await command("apply", str(file), *SURE))[1]
    file.write_text("models: {credit: {live: v1}}\nexperimentz: {}\n")
    code, _, err = await command("apply", str(file), *SURE)
    assert code == 1
    assert 'ekiben: there is no key "experimentz"; did you mean experiments?' in err.replace(
        "experimentz: ", ""
    )
    assert "models.credit.versions: is missing" in err


async def test_an_edit_of_a_file_undoes_no_verb_and_what_both_changed_is_refused_with_both(
    scene: Scene, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "experiments.yaml"
    text = yaml.safe_dump(dump_document(document(coverage=10)))
    file.write_text(text)
    assert (await command("apply", str(file), *SURE))[0] == 0
    await command("pause", EXPERIMENT, *SURE)
    file.write_text(f"# a remark\n{text}")
    assert "Nothing changes" in (await command("apply", str(file), *SURE))[1]
    assert await status_of(scene) is Status.PAUSED
    file.write_text(text.replace("coverage: 10", "coverage: 5"))
    code, out, _ = await command("diff", str(file))
    assert (code, out) == (0, f"experiments.{EXPERIMENT}.coverage: 10 → 5\n")
    held = await scene.desk.store.load()
    assert held is not None
    moved = edits.set_coverage(held.document, EXPERIMENT, 50)
    await scene.desk.store.change(held, moved, who="ramp", why="a step")
    code, _, err = await command("diff", str(file))
    assert code == 1
    assert "the file goes from 10 to 5, and meanwhile it has become 50" in err


async def test_the_document_in_force_is_printed_as_a_file_that_makes_it_true(
    scene: Scene, command: Command, tmp_path: Path
) -> None:
    stored = await scene.put(document("paused", coverage=50))
    _, out, _ = await command("document")
    file = tmp_path / "experiments.yaml"
    file.write_text(out)
    code, said, _ = await command("check", str(file))
    assert (code, said) == (0, f"{file} is sound (models: 1, experiments: 1)\n")
    assert parse_experiments(out.encode()).document == stored.document


async def test_a_file_that_is_not_sound_is_told_with_its_lines_without_a_controller(
    command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_text("models:\n  credit: {live: v1}\n")
    code, _, err = await command("check", str(file))
    assert code == 1
    assert "models.credit.versions: is missing" in err
    assert "(line 2)" in err
    assert (await command("check", "nowhere.yaml"))[0] == 2


async def test_the_job_of_the_manifests_applies_a_file_and_tells_what_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_text(yaml.safe_dump(dump_document(document(coverage=10))))
    told = {"EKIBEN_CONTROLLER_URL": scene.url.removesuffix("/api"), "EKIBEN_ADMIN_TOKEN": TOKEN}

    async def job(**changes: str) -> tuple[int, str]:
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ekiben.control.apply", str(file)),
            env={**os.environ, **told, **changes},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await done.communicate()
        return done.returncode or 0, out.decode()

    assert (await job())[0] == 0
    assert await status_of(scene) is Status.RUNNING
    file.write_text("models: {}\n")
    code, out = await job()
    assert (code, "models: is missing" in out) == (1, True)
    assert (await job(EKIBEN_ADMIN_TOKEN=""))[0] == 2
    assert (await job(EKIBEN_ADMIN_TOKEN="wrong"))[0] == 1


async def test_a_report_is_told_in_words_and_tables_and_as_json(scene: Scene, command: Command) -> None:
    stored = await scene.put(document())
    await scene.know(stored, users=1234)
    code, out, _ = await command("report", EXPERIMENT)
    assert code == 0
    for text in (
        "running, 100 % of users take part",
        "Keep running: not settled yet.",
        "1,234",
        "split: not tested yet",
    ):
        assert text in out
    (row,) = [line for line in out.splitlines() if line.startswith("profit")]
    assert " ".join(row.split()) == "profit decides treatment 2,468 10 -0.9 to +1.1 +0.1 - unclear"
    told = json.loads((await command("report", EXPERIMENT, "--json"))[1])
    assert told["variants"][0]["users"] == 1234


async def test_a_plan_is_told_in_words_and_numbers(scene: Scene, command: Command) -> None:
    await scene.put(document())
    given = ("--mean", "10", "--std", "20", "--users-per-day", "1000", "--power", "90")
    code, out, _ = await command("plan", EXPERIMENT, "--effect", "5%", *given)
    assert code == 0
    assert "To find an effect of 0.5 (5 %) on profit with a probability of 90 %" in out
    assert "Nothing is known yet of kept, error_rate, fallback_rate, slow_rate, which is not counted." in out
    assert "models.credit.capture.scores_per_second" in out
    assert "users, in all" in out
    assert "days in all" in out


async def test_a_plan_is_written_into_a_draft(scene: Scene, command: Command) -> None:
    await scene.put(document(status="draft"))
    given = ("--effect", "5%", "--mean", "10", "--std", "20")
    planned = json.loads((await command("plan", EXPERIMENT, *given, "--json"))[1])["planned_users"]
    code, out, _ = await command("plan", EXPERIMENT, *given, "--write", *SURE)
    assert code == 0
    assert f"write into the experiment: planned_users: {planned}" in out
    assert f"planned_users: 5000 → {planned}" in out
    stored = await scene.desk.store.load()
    assert stored is not None
    assert stored.document.experiments[EXPERIMENT].planned_users == planned


async def test_a_plan_needs_no_experiment(scene: Scene, command: Command) -> None:
    await scene.put(document())
    given = ("--effect", "5%", "--mean", "10", "--std", "20")
    code, out, _ = await command("plan", "--model", "credit", "--metric", "orders", *given)
    assert code == 0
    assert "To find an effect of 0.5 (5 %) on orders" in out


async def test_a_report_is_printed_as_csv(scene: Scene, command: Command) -> None:
    await scene.know(await scene.put(document()), users=1234)
    code, out, _ = await command("report", EXPERIMENT, "--csv")
    head, *rows = out.splitlines()
    assert (code, head.split(",")[:2], len(rows)) == (0, ["experiment", "phase"], 4)


async def test_status_shows_the_verdicts_when_a_controller_answers(scene: Scene, command: Command) -> None:
    stored = await scene.put(document())
    await scene.know(stored)
    code, out, _ = await command("status")
    assert code == 0
    assert f"no router answers at {NOBODY}" in out
    assert "Keep running: not settled yet." in out
    assert "No newer report" not in out


async def test_status_says_so_when_a_verdict_is_old(scene: Scene, command: Command) -> None:
    stored = await scene.put(document())
    made = report(stored, EXPERIMENT, time.time() - 120)
    await put_report(scene.redis, made)
    await scene.desk.look()
    out = (await command("status"))[1]
    assert "Keep running: not settled yet. (No newer report than of 20" in " ".join(out.split())


async def test_status_shows_a_recorder_that_fails(scene: Scene, command: Command) -> None:
    await scene.put(document())
    scene.desk.failing = lambda: {"recorder": "exposures cannot be recorded: No space left on device"}
    assert "recorder fails: exposures cannot be recorded: No space left" in (await command("status"))[1]
    told = json.loads((await command("status", "--json"))[1])
    assert list(told["controller"]["failing"]) == ["recorder"]


async def test_status_shows_why_the_state_redis_would_lose_what_it_confirms(
    scene: Scene, command: Command
) -> None:
    await scene.put(document())
    await scene.desk.durability.look()  # at a Redis that keeps nothing
    out = " ".join((await command("status"))[1].split())
    assert "keeps no append-only file" in out
    assert "(outcomes are refused)" in out


class Starting(BaseHTTPRequestHandler):
    """A router that answers and is not ready yet."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b'{"ready": false}')


async def test_status_says_so_when_no_controller_answers_beside_a_router(
    scene: Scene, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), Starting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("EKIBEN_ROUTER_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("EKIBEN_CONTROLLER_URL", NOBODY)
        code, out, _ = await command("status")
        server.shutdown()
    assert code == 0
    assert f"router http://127.0.0.1:{server.server_port}: not ready" in out
    assert f"no controller answers at {NOBODY}" in out


async def test_a_user_is_forgotten(scene: Scene, command: Command) -> None:
    await scene.put(document())
    code, out, _ = await command("events", "forget", "--user", "u-control", *SURE)
    assert (code, scene.forgotten) == (0, ["u-control"])
    assert "Done: 1 files; 1 overrides." in out


async def test_forgetting_a_user_of_whom_nothing_is_known_says_so_and_fails(
    scene: Scene, command: Command
) -> None:
    await scene.put(document())
    scene.removes = 0
    code, _, err = await command("events", "forget", "--user", "u-contrl", *SURE)
    assert (code, scene.forgotten) == (1, ["u-contrl"])
    assert "nothing was found of this user" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pause", EXPERIMENT], 2, "there is no terminal to confirm this at: give --yes and --why"),
        (["pause", EXPERIMENT, "--yes"], 2, "--why is missing"),
        (["resume", EXPERIMENT, *SURE], 1, "is running, so you cannot use resume on it"),
        (["pause", "credit-bosting", *SURE], 1, "did you mean credit-boosting?"),
        (["events", "forget", "--user", "u", "--yes"], 2, "--why is missing"),
        (["promote", EXPERIMENT, "control", *SURE], 1, "to end with it, roll back"),
        (["promote", EXPERIMENT, "", *SURE], 2, "ekiben: VARIANT is empty: give a value, or leave it out"),
        (["promote", EXPERIMENT, " ", *SURE], 2, "ekiben: VARIANT is empty"),
        (["acknowledge", EXPERIMENT, "--model-version", "", *SURE], 2, "ekiben: --model-version is empty"),
        (["acknowledge", EXPERIMENT, "--model-version", ",", *SURE], 2, "ekiben: --model-version is empty"),
        (["ramp", EXPERIMENT, "--steps", "5", "--guardrails", "", *SURE], 2, "ekiben: --guardrails is empty"),
        (["ramp", EXPERIMENT, "--steps", "5", "--every", "", *SURE], 2, "ekiben: --every is empty"),
        (["ramp", EXPERIMENT, "--min-users", "0", *SURE], 2, "ekiben: --min-users: must be at least 1"),
        (["ramp", EXPERIMENT, "--steps", "1,b", *SURE], 2, 'not "b" (as in 2,10,50,100)'),
        (["ramp", EXPERIMENT, "--steps", "1,b", *SURE], 2, "ekiben: --steps: must be a number"),
        (["ramp", EXPERIMENT, "--off", "--every", "1h", *SURE], 2, "ekiben: --off takes the ramp away"),
        (["ramp", EXPERIMENT, "--every", "soon", "--steps", "5", *SURE], 1, "is not a duration"),
        (["apply", "nowhere.yaml", *SURE], 2, "cannot read nowhere.yaml: No such file"),
        (["report", EXPERIMENT], 1, "there is no report of credit-boosting yet"),
        (["plan", EXPERIMENT, "--effect", "much", "--std", "1"], 1, "the effect is a share"),
        (["plan", EXPERIMENT, "--std", "1"], 1, "say which effect is to be found"),
        (["plan", EXPERIMENT, "--effect", "1", "--days", "3"], 2, "give one of --effect and --days"),
        (["plan", "--effect", "1", "--model", "credit"], 2, "name an experiment, or give --model"),
        (["plan", "--model", "credit", "--metric", "x", "--effect", "1", "--write"], 2, "--write needs an"),
        (["report", EXPERIMENT, "--csv", "--json"], 2, "give one of --json and --csv"),
    ],
)
async def test_what_cannot_work_is_one_line_and_changes_nothing(
    scene: Scene, command: Command, arguments: list[str], code: int, words: str
) -> None:
    before = await scene.put(document())
    exit_code, out, err = await command(*arguments)
    (line,) = err.splitlines()
    assert out == ""
    assert (exit_code, line.startswith("ekiben: "), words in line) == (code, True, True), line
    assert await scene.desk.store.load() == before


@pytest.mark.parametrize("verb", VERBS)
async def test_the_help_of_a_verb_shows_no_markup(command: Command, verb: str) -> None:
    code, out, _ = await command(verb, "--help")
    assert (code, "`" in out) == (0, False)


async def test_a_wrong_token_and_no_controller_are_one_line_that_says_how_to_mend_it(
    scene: Scene, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.put(document())
    monkeypatch.setenv("EKIBEN_ADMIN_TOKEN", "wrong")
    code, _, err = await command("pause", EXPERIMENT, *SURE)
    assert (code, "set EKIBEN_ADMIN_TOKEN to the controller's" in err) == (1, True)
    monkeypatch.setenv("EKIBEN_CONTROLLER_URL", NOBODY)
    code, _, err = await command("history")
    assert (code, f"no controller answers at {NOBODY}" in err) == (1, True)


async def test_without_a_token_the_one_that_the_controller_keeps_on_this_machine_is_shown(
    scene: Scene, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.put(document())
    monkeypatch.delenv("EKIBEN_ADMIN_TOKEN")
    assert (await command("pause", EXPERIMENT, *SURE))[0] == 1
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "admin_token").write_text(TOKEN)
    assert (await command("pause", EXPERIMENT, *SURE))[0] == 0


def ask(arguments: list[str], answers: bytes) -> tuple[int, str]:
    """Run a command on a terminal, where somebody types."""
    leader, follower = pty.openpty()
    os.write(leader, answers)
    done = subprocess.run(
        [sys.executable, "-m", "ekiben", *arguments],
        cwd=ROOT, stdin=follower, stdout=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(leader)
    os.close(follower)
    return done.returncode, done.stdout


async def test_on_a_terminal_the_reason_and_a_yes_are_asked_for(scene: Scene) -> None:
    await scene.put(document())
    code, out = await asyncio.to_thread(ask, ["pause", EXPERIMENT], b"a look\nn\n")
    assert (code, "Nothing was changed." in out) == (1, True)
    assert await status_of(scene) is Status.RUNNING
    code, out = await asyncio.to_thread(ask, ["pause", EXPERIMENT], b"a look\ny\n")
    assert (code, "Done: revision 2." in out) == (0, True)
    entries = (await scene.get("/history?limit=1"))["entries"]
    assert (entries[0]["who"], entries[0]["why"]) == ("jo", "a look")

"""`ekiben panic`: the switch for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ekiben.commands.main import app
from ekiben.state.panic import ALL_MODELS, read_panic
from ekiben.terminal.shell import run_command
from tests.ekiben.running import ekiben, environment
from tests.router.running import ModelServer, predict, running_router, write_experiments
from tests.waiting import wait_for


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory where the command looks, with the experiments of `credit` and `fraud` beside it."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    experiments = tmp_path / "experiments.yaml"
    experiments.write_text(
        'models: {credit: {live: v1, versions: {v1: {endpoints: ["http://10.0.0.1:1"]}}},\n'
        '  fraud: {live: v1, versions: {v1: {endpoints: ["http://10.0.0.1:1"]}}}}\n'
    )
    monkeypatch.setenv("EKIBEN_DATA_DIR", str(data_dir))
    monkeypatch.setenv("EKIBEN_EXPERIMENTS_FILE", str(experiments))
    monkeypatch.delenv("EKIBEN_PANIC_FILE", raising=False)
    return data_dir


def test_it_is_on_for_a_model_then_for_another_and_off_for_one_after_the_other(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switch = here / "panic"
    for arguments, models, said in (
        (["credit"], {"credit"}, "panic is on for credit:"),
        (["fraud"], {"credit", "fraud"}, "panic is on for credit, fraud:"),
        ([], {"credit", "fraud"}, "panic is on for credit, fraud ("),
        (["credit", "--off"], {"fraud"}, "panic is off for credit: "),
        (["credit", "--off"], {"fraud"}, "panic is not on for credit; it is on for fraud"),
        (["fraud", "--off"], set(), "panic is off for fraud: the experiments decide again"),
        ([], set(), "panic is off ("),
    ):
        assert run_command(app, ["panic", *arguments]) == 0
        assert read_panic(switch) == models
        output = capsys.readouterr()
        assert output.out.startswith(said)
        assert output.err == ""
    assert not switch.exists()


def test_all_is_all_models_and_is_ended_as_a_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    switch = here / "panic"
    assert (
        run_command(app, ["panic", "credit"])
        == run_command(app, ["panic", "--all"])
        == run_command(app, ["panic", "fraud"])
        == 0
    )
    assert read_panic(switch) == {ALL_MODELS}
    assert run_command(app, ["panic", "credit", "--off"]) == 1
    assert "ekiben panic --all --off" in capsys.readouterr().err
    assert read_panic(switch) == {ALL_MODELS}
    assert run_command(app, ["panic", "--all", "--off"]) == 0
    assert not switch.exists()


@pytest.mark.parametrize(
    "arguments", [["credit", "--all"], ["--off"], [""], ["#credit"], ["cre\ndit"], [" credit"]]
)
def test_what_cannot_be_meant_is_told_in_a_line_and_changes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run_command(app, ["panic", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (here / "panic").exists()


def test_a_model_nobody_knows_is_wrong_usage_that_names_the_known_ones_and_switches_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(app, ["panic", "credti"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no model 'credti' (known: credit, fraud); --all" in line
    assert not (here / "panic").exists()


def test_a_data_directory_that_is_not_there_is_told(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EKIBEN_DATA_DIR", str(tmp_path / "nowhere"))
    assert run_command(app, ["panic", "credit"]) == 0
    assert "EKIBEN_DATA_DIR" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told_in_a_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EKIBEN_PANIC_FILE", str(here / "a file" / "panic"))
    (here / "a file").write_text("")
    assert run_command(app, ["panic", "--all"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ekiben: cannot write ")


def test_help_tells_a_newcomer_what_it_does(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(app, ["panic", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for phrase in ("live", "within a second", "no Redis", "--off", "--all", "EKIBEN_PANIC_FILE"):
        assert phrase in told


def test_what_the_command_writes_a_running_router_obeys(tmp_path: Path) -> None:
    services: Mapping[str, ModelServer] = {"v1": ModelServer("v1"), "v2": ModelServer("v2")}
    write_experiments(tmp_path, services)
    try:
        with running_router(tmp_path) as router:
            env = environment(tmp_path / "data", tmp_path / "experiments.yaml")
            env["EKIBEN_PORT"] = str(router.port)
            for arguments, version in ((["credit"], "v1"), (["credit", "--off"], "v2")):
                ended = ekiben(["panic", *arguments], env)
                assert (ended.returncode, ended.stderr) == (0, "")
                wait_for(lambda: predict(router.port, "u-treatment").json["version"] == version)  # noqa: B023
    finally:
        for service in services.values():
            service.close()

"""A short form of `make netns`: hosts that are cut off from each other, one cut under load, the report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proofs.faults.report import PAGE
from tests.proofs.netns.cuts import CUTS, ROUTER_FROM_STATE
from tests.proofs.netns.installation import Installation
from tests.proofs.netns.network import Hosts, left, remove_what_dead_ones_left, why_not
from tests.proofs.netns.report import render, table
from tests.proofs.netns.trial import Row, run_trial
from tests.waiting import wait_for

REASON = why_not()
# Far longer than a packet takes between two hosts of one machine.
NEVER_S = 0.3
on_hosts = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@on_hosts
def test_a_host_that_is_cut_off_reaches_nobody_until_it_is_healed() -> None:
    with Hosts(["a", "b", "c"]) as hosts:
        assert hosts.reaches("a", "b")
        with hosts.cut_off("a"):
            assert not hosts.reaches("a", "b", NEVER_S)
            assert not hosts.reaches("b", "a", NEVER_S)
            assert hosts.reaches("b", "c")
        assert hosts.reaches("a", "b")


@on_hosts
def test_two_hosts_that_are_parted_still_reach_everybody_else() -> None:
    with Hosts(["a", "b", "c"]) as hosts:
        assert hosts.reaches("a", "b")
        with hosts.parted("a", "b"):
            assert not hosts.reaches("a", "b", NEVER_S)
            assert not hosts.reaches("b", "a", NEVER_S)
            assert hosts.reaches("a", "c")
            assert hosts.reaches("c", "b")
        assert hosts.reaches("b", "a")


@on_hosts
def test_a_name_leads_to_every_address_that_is_behind_it_at_the_time() -> None:
    code = "import socket, sys\nprint(*sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 1)}))"
    with Hosts(["a"]) as hosts:
        for found in (["198.18.0.1", "198.18.0.2"], ["198.18.0.2"]):
            hosts["a"].names({"credit": found})
            command = hosts["a"].inside("python3", "-c", code, "credit")
            assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == found


def left_by(pid: int) -> list[str]:
    """The namespaces of this process, and not those of another run of the tests."""
    return [name for name in left() if name.startswith(f"ekiben-{pid}-")]


@on_hosts
def test_nothing_is_left_when_something_fails() -> None:
    def fail() -> None:
        with Hosts(["a"]):
            assert len(left_by(os.getpid())) == 2  # the host's and the bridge's own
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert left_by(os.getpid()) == []
    assert not list(Path("/etc/netns").glob(f"ekiben-{os.getpid()}-*"))


@on_hosts
def test_what_a_killed_run_has_left_is_removed_by_the_next() -> None:
    code = (
        "import os, signal\nfrom tests.proofs.netns.network import Hosts\n"
        "Hosts(['a']).__enter__()\ninput()\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdin=subprocess.PIPE) as killed:
        wait_for(lambda: left_by(killed.pid))
        killed.communicate(b"\n")
    remove_what_dead_ones_left()
    assert left_by(killed.pid) == []


@on_hosts
async def test_a_router_cut_off_from_the_state_answers_rightly_and_is_in_step_again_afterwards() -> None:
    with Installation() as installation:
        row = await run_trial(installation, ROUTER_FROM_STATE, rate=40.0, hold_s=1.5)
        installation.keep = bool(row.broken)
        assert row.broken == (), f"logs: {installation.logs}"
        assert row.wrong == row.errors == 0
        assert row.right > 0


def a_row(broken: tuple[str, ...] = ()) -> Row:
    return Row("the cache", 1000, 990, 0, 10, 0, 0, 1.26, 0.04, broken)


def test_the_report_has_a_line_for_each_cut() -> None:
    text = render([a_row()], 75.0, 4.0, 0.5)
    assert "| the cache | 1,000 | 990 | 0 | 10 | 0 | 0 | 1.3 | 0.0 |" in text
    assert "Every promise held." in text


def test_a_broken_promise_is_named_in_the_report() -> None:
    text = render([a_row(("3 exposures are not in the record",))], 75.0, 4.0, 0.5)
    assert "- the cache: 3 exposures are not in the record" in text
    assert "**broken**" in table([a_row(("it",))])


def test_the_page_has_the_markers_and_every_cut_a_name_of_its_own() -> None:
    assert "<!-- netns:begin -->" in PAGE.read_text()
    assert len({cut.name for cut in CUTS}) == len(CUTS)

"""What goes on going wrong is told at once, when it becomes another thing, and every minute."""

from __future__ import annotations

import logging

import pytest

from ekiben.state.trouble import Trouble


def test_trouble_is_told_at_once_and_again_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    trouble = Trouble(lambda: now[0])
    with caplog.at_level(logging.INFO):
        for _ in range(125):
            trouble.tell("no answer", "nothing changes")
            now[0] += 1
        assert len(caplog.records) == 3
        trouble.tell("a wrong password", "nothing changes")
        assert "a wrong password" in caplog.records[-1].getMessage()
        assert trouble.what == "a wrong password"
        trouble.over()
        trouble.over()
    assert len(caplog.records) == 5
    assert trouble.what is None

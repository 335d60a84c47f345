"""docs/own-model.md from its first line to its last, from the wheel alone, far from this checkout."""

from __future__ import annotations

import csv
import difflib
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ekiben.client import Client, Outcome
from tests.docs.commands import in_blocks
from tests.ekiben.running import PATIENCE_S, Up, on_free_ports
from tests.ports import free_port
from tests.processes import ROOT
from tests.wheel.conftest import Installed
from tests.wheel.test_wheel import packages_of_their_own

FILES = ROOT / "tests" / "ekiben" / "own_model"
COMMANDS = list(in_blocks((ROOT / "docs" / "own-model.md").read_text()))
WORDS = {
    "negative": ("bad", "broken", "late", "awful", "refund"),
    "neutral": ("okay", "usual", "average", "fine", "expected"),
    "positive": ("great", "lovely", "fast", "perfect", "happy"),
}
USERS = 1_600

pytestmark = pytest.mark.skipif(
    not os.environ.get("EKIBEN_TEST_ALL"), reason="two minutes: make test-all, or EKIBEN_TEST_ALL=1"
)


class Shop:
    """The project, and the shell of its user."""

    def __init__(self, installed: Installed, folder: Path) -> None:
        ports = {"EKIBEN_PORT": str(free_port()), "EKIBEN_CONTROLLER_PORT": str(free_port())}
        often = {"EKIBEN_RECORD_EVERY_S": "1", "EKIBEN_ANALYSE_EVERY_S": "1"}
        data = {"EKIBEN_DATA_DIR": str(folder / "data")}
        self.env = installed.environment(folder, **ports, **often, **data)
        self.url = f"http://127.0.0.1:{ports['EKIBEN_PORT']}"
        self.folder, self.root = folder, folder / "shop"
        self._installed = installed

    def run(self, line: str, code: int = 0) -> str:
        """Type a line of the page into the shell; what it prints, errors last."""
        program, *arguments = shlex.split(line)
        where = {"ekiben": self._installed.program, "python": self._installed.python}.get(program, program)
        cwd = self.root if self.root.exists() else self.folder
        done = subprocess.run(
            [where, *arguments],
            cwd=cwd, env=self.env, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == code, (line, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def documented(self, verb: str) -> list[str]:
        """The lines of the page that begin with this command and are whole."""
        return [line for line in COMMANDS if line.startswith(f"ekiben {verb} ")]

    def up(self) -> Up:
        """`ekiben up` as it runs on."""
        out, err = self.folder / "up.out", self.folder / "up.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [self._installed.program, "up"], cwd=self.root, env=self.env, stdout=out_file, stderr=err_file
            )
        return Up(process, self.env, out, err)


def written_by_hand(before: Sequence[str], after: Sequence[str]) -> int:
    """The lines that are new or changed."""
    return sum(line.startswith("+ ") for line in difflib.ndiff(before, after))


def is_formatted(folder: Path) -> bool:
    ruff = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "100"]
    return subprocess.run([*ruff, str(folder)], check=False).returncode == 0


def write_reviews(file: Path) -> None:
    chance = random.Random(1)
    common = ["the", "parcel", "came", "and", "it", "was", "for", "my", "order", "box", "on", "time", "again"]
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["review", "target"])
        for _ in range(400):
            label = chance.choice(list(WORDS))
            words = chance.choices(common, k=8) + chance.choices(WORDS[label], k=2)
            chance.shuffle(words)
            rows.writerow([" ".join(words), label])


def visits(url: str) -> dict[str, int]:
    """Customers ask, and those of v2 are more often content. How many there are of each variant."""
    seen: dict[str, int] = {}
    outcomes = []
    with Client(url, timeout=30) as router:
        for number in range(USERS):
            answer = router.predict("reviews", f"customer-{number}", {"review": f"it was late {number}"})
            assert answer.prediction["label"] in WORDS
            assert answer.variant is not None
            seen[answer.variant] = seen.get(answer.variant, 0) + 1
            solved = number % 10 < (3 if answer.variant == "control" else 7)
            now, which = datetime.now(UTC), answer.prediction_id
            outcomes.append(Outcome(name="solved", value=float(solved), prediction_id=which, at=now))
        for start in range(0, len(outcomes), 1000):
            router.outcomes(outcomes[start : start + 1000])
    return seen


def test_the_page_leads_from_an_empty_folder_to_a_verdict_and_a_bento(
    installed: Installed, tmp_path: Path
) -> None:
    shop = Shop(installed, tmp_path)
    by_hand = 0
    assert is_formatted(FILES)
    (line,) = shop.documented("init")
    shop.run(line)
    packages_of_their_own(shop.root, but=("services",))
    for line in shop.documented("new"):
        shop.run(line)
    for name, place in (("schema.py", "services"), ("train.py", "training")):
        file, shown = shop.root / place / "reviews" / name, (FILES / name).read_text()
        by_hand += written_by_hand(file.read_text().splitlines(), shown.splitlines())
        file.write_text(shown)
    write_reviews(shop.root / "training" / "reviews" / "data.csv")
    printed = shop.run("python training/reviews/train.py")
    assert re.search(r"reviews v1 published: reviews_v1:\w+, served as ", printed)
    assert "reviews v2 published: reviews_v2:" in printed

    experiments = shop.root / "experiments.yaml"
    experiments.write_text(on_free_ports(experiments.read_text()))
    printed = shop.run("ekiben up --once")
    assert re.search(r"model reviews, rows made up: .*?v1 +live +1500 +2000 ", printed, re.DOTALL)

    block = (FILES / "experiments.yaml").read_text()
    by_hand += len(block.splitlines()) + len((FILES / "visit.py").read_text().splitlines())
    assert by_hand <= 45
    # A report has numbers once the first users' windows are over: a week, unless told.
    block = block.replace("kind: ", "window_hours: 0.0001, kind: ")
    block = block.replace("status: running", "status: running\n    min_days: 0")
    experiments.write_text(f"{experiments.read_text()}\n{block}")
    with shop.up() as up:
        up.wait_for("Ctrl-C")
        for line in shop.documented("predict"):
            assert json.loads(shop.run(line))["prediction"]["label"] in WORDS
        visit = (FILES / "visit.py").read_text().replace("http://127.0.0.1:3000", shop.url)
        (shop.root / "visit.py").write_text(visit)
        assert re.match(r"(negative|neutral|positive) v[12]\n", shop.run("python visit.py"))
        assert set(visits(shop.url)) == {"control", "treatment"}

        deadline = time.monotonic() + PATIENCE_S
        while "Promote v2" not in (printed := shop.run("ekiben report pairs")):
            assert time.monotonic() < deadline, printed
            time.sleep(1)
        load = f"locust -f loadtests/locustfile.py --headless --host {shop.url} --model reviews -u 2 -t 2s"
        printed = shop.run(f"python -m {load}")
        assert re.search(r"POST +/predict/reviews +[1-9]\d* +0\(0", printed), printed
        shop.run('ekiben promote pairs --yes --why "the page says so"')
        assert up.end() == 0

    printed = shop.run("ekiben build reviews --no-image")
    assert re.search(r"reviews_v1:\w+ with reviews_v1:\w+\n.*reviews_v2:", printed, re.DOTALL)
    assert_serves(installed, shop, "reviews_v1")


def assert_serves(installed: Installed, shop: Shop, name: str) -> None:
    """The Bento answers where this library is not installed."""
    port = free_port()
    command = ["-m", "bentoml", "serve", f"{name}:latest", "--host", "127.0.0.1", "--port", str(port)]
    log = shop.folder / "bento.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(installed.bare), *command], cwd=shop.folder, env=shop.env, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        answer: Any = None
        while answer is None:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            done = subprocess.run(
                ["curl", "-fs", f"http://127.0.0.1:{port}/bulk", "-H", "Content-Type: application/json",
                 "-d", '[{"review": "late and broken"}]'],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            answer = json.loads(done.stdout) if done.returncode == 0 else None
            time.sleep(0.2)
        assert answer[0]["ok"]["label"] in WORDS
    finally:
        process.terminate()
        process.wait(30)

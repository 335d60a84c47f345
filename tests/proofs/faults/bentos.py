"""The station with real BentoML services: credit v1 on two endpoints, credit v2 as the treatment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from tests.proofs.faults.answered import Expected
from tests.proofs.faults.answers import LIVE, TREATMENT
from tests.proofs.faults.catalogue import Fault
from tests.proofs.faults.processes import ROOT, Process, http_get
from tests.proofs.faults.scene import killed, paused
from tests.proofs.faults.station import EXPERIMENT, Station

_SERVED_BY: Final = {LIVE: "live-a", TREATMENT: "treatment"}
_ROWS: Final = 200
# Answers have 6 decimals; a row may land on the other side of the last one in another batch.
_CLOSE: Final = 2e-6

FAULTS: Final[tuple[Fault, ...]] = tuple(
    Fault(f"BentoML: {group}", how, fault(name))
    for group, name in (("treatment", "treatment"), ("live, one of two", "live-a"))
    for how, fault in (("killed (SIGKILL)", killed), ("stopped (SIGSTOP)", paused))
)


class BentoStation(Station):
    """A station whose services are `bentoml serve`, with models trained for it."""

    def train(self) -> None:
        """Train and publish the versions into a store of the station's own."""
        with (self.logs / "train.log").open("wb") as log:
            subprocess.run(
                [sys.executable, "-c", "from training.credit.train import train; train()"],
                cwd=ROOT,
                env=self._bentoml_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=180,
            )

    def start(self) -> None:
        """Train, unless that is done, and start."""
        if not (self.folder / "bentoml").exists():
            self.train()
        super().start()

    def expected(self, rows: Sequence[Mapping[str, Any]]) -> Expected:
        """What has to come back: what each version answers when it is asked directly, before any fault."""
        truth: dict[tuple[str, bytes], Any] = {}
        tags: dict[str, str] = {}
        for version, name in _SERVED_BY.items():
            url = f"http://127.0.0.1:{self.service_ports[name]}/bulk"
            json_type = {"content-type": "application/json"}
            request = urllib.request.Request(url, orjson.dumps(rows), json_type, method="POST")
            with urllib.request.urlopen(request, timeout=30.0) as answer:
                tags[version] = answer.headers["X-Model-Version"]
                for row, item in zip(rows, orjson.loads(answer.read()), strict=True):
                    truth[version, orjson.dumps(row)] = item["ok"]
        return Expected(EXPERIMENT, _same_as(truth), tags)

    def _services(self) -> dict[str, Process]:
        return {
            name: self._service(name, "v2" if name == "treatment" else "v1", port)
            for name, port in self.service_ports.items()
        }

    def _service(self, name: str, version: str, port: int) -> Process:
        bentoml = Path(sys.executable).with_name("bentoml")
        module = f"services.credit.{version}:Credit{version.upper()}"
        return Process(
            name,
            [str(bentoml), "serve", module, "--host", "127.0.0.1", "--port", str(port)],
            self.logs,
            lambda: http_get(f"http://127.0.0.1:{port}/model/info") == 200,
            self._bentoml_environment(),
        )

    def _bentoml_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "BENTOML_HOME": str(self.folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
        }


def applicants() -> list[dict[str, Any]]:
    """Some of the held-out applicants."""
    lines = (ROOT / "training" / "data" / "held_out.jsonl").read_text().splitlines()
    return [json.loads(line)["features"] for line in lines[:_ROWS]]


def _same_as(truth: Mapping[tuple[str, bytes], Any]) -> Callable[[str, Mapping[str, Any], object], bool]:
    def is_answer(version: str, row: Mapping[str, Any], prediction: object) -> bool:
        known = truth[version, orjson.dumps(row)]
        if type(prediction) is not dict or prediction.keys() != known.keys():
            return False
        return all(
            abs(prediction[key] - value) <= _CLOSE if type(value) is float else prediction[key] == value
            for key, value in known.items()
        )

    return is_answer

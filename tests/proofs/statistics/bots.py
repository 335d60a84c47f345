"""No difference, five guardrails, and one user of the treatment with 100,000 requests, all of which fail."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ekiben.control.analysis.gathering import Evidence
from ekiben.control.analysis.metrics import Bucket
from ekiben.control.analysis.report import put_together
from ekiben.experiments.kinds.requests import REQUEST_METRICS, REQUESTS_OF_A_USER
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.reports.past import Past
from ekiben.experiments.reports.report import Decision
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from ekiben.state.documents.document import Stored
from tests.proofs.statistics.counted import Counted
from tests.proofs.statistics.peeking import ALPHA
from tests.proofs.statistics.populations import Floats

_KEY, _NOW = "bots", 30 * 86_400.0
_USERS, _LOOKS, _BOT = 20_000, 100, 100_000
_RATES = {"error_rate": 0.005, "fallback_rate": 0.01, "slow_rate": 0.02}
_DECLARED = ("profit", "kept", "visits")
# An interval reaches at least sqrt(2 log(1/alpha)) standard errors: at other looks nothing can be decided.
_LEAST_SCORE = 2.4


def look_at_bots(seed: int, experiments: int = 1000) -> list[Counted]:
    return [
        Counted(
            f"{name}, {100 - weight}/{weight}: promoted or rolled back at any look",
            _decided(np.random.default_rng((seed, 11, weight, at_most)), weight, at_most, trials),
            ALPHA if at_most == REQUESTS_OF_A_USER else None,
            trials,
        )
        for name, at_most, trials in (
            ("a bot", REQUESTS_OF_A_USER, experiments),
            ("were its requests all counted", _BOT, experiments // 10),
        )
        for weight in (50, 5)
    ]


def _decided(rng: np.random.Generator, weight: int, at_most: int, experiments: int) -> float:
    stored = _stored(weight)
    return sum(_acted(stored, _sums(rng, weight / 100, at_most)) for _ in range(experiments)) / experiments


def _stored(weight: int) -> Stored:
    guardrail = {"kind": "mean", "guardrail": {"max_worse": 0.05}}
    metrics = [{"name": name, "outcome": name, "kind": "mean"} | (guardrail if name != "profit" else {})
               for name in _DECLARED]  # fmt: skip
    document = {
        "models": {
            "m": {
                "live": "v1",
                "versions": {name: {"endpoints": [f"http://{name}:1"]} for name in ("v1", "v2")},
            }
        },
        "experiments": {
            _KEY: {
                "model": "m",
                "status": "running",
                "variants": {
                    "control": {"version": "v1", "weight": 100 - weight},
                    "treatment": {"version": "v2", "weight": weight},
                },
                "metrics": metrics,
                "min_users": JUDGED_FROM,
                "alpha": ALPHA,
            }
        },
    }
    return Stored("here", 1, "", parse_document(document))


def _sums(rng: np.random.Generator, share: float, at_most: int) -> dict[str, Floats]:
    """For each metric (variant, look, moment), the moments being n, x, xx, y, yy and xy so far."""
    step = _USERS // _LOOKS
    shape = (_LOOKS, step)
    treated = rng.random(shape) < share
    treated[0, 0] = True
    requests = 1 + rng.poisson(3, shape)
    counts = {name: rng.binomial(requests, rate) for name, rate in _RATES.items()}
    requests[0, 0] = _BOT
    part = np.minimum(1.0, at_most / requests)
    pairs = {name: (rng.normal(10, 15, shape), np.zeros(shape)) for name in _DECLARED}
    for name, count in counts.items():
        count[0, 0] = _BOT
        pairs[name] = (count * part, requests * part)
    found = {}
    for name, (x, y) in pairs.items():
        terms = np.stack([np.ones(shape), x, x * x, y, y * y, x * y])
        found[name] = np.stack([(terms * each).sum(2).cumsum(1).T for each in (~treated, treated)])
    return found


def _acted(stored: Stored, sums: dict[str, Floats]) -> bool:
    return any(
        put_together(
            _KEY, stored.document.experiments[_KEY], stored, _evidence(sums, look), Past(), _NOW
        ).verdict.decision
        in (Decision.PROMOTE, Decision.ROLL_BACK)
        for look in sorted(set(_worth(sums)))
    )


def _worth(sums: dict[str, Floats]) -> Iterator[int]:
    """The looks at which a metric is far from no difference."""
    for found in sums.values():
        n, x, xx, y, yy, xy = np.moveaxis(found, 2, 0)
        ratio = y.any()
        value = x / (y if ratio else n)
        squares = xx - 2 * value * xy + value**2 * yy if ratio else xx - n * value**2
        error = np.sqrt(np.maximum(squares, 1e-12)) / (y if ratio else n)
        score = np.abs(value[1] - value[0]) / np.hypot(*error)
        yield from np.flatnonzero((score > _LEAST_SCORE) & (n.min(0) >= JUDGED_FROM)).tolist()


def _evidence(sums: dict[str, Floats], look: int) -> Evidence:
    moments = {
        name: {place: Moments(int(row[0]), *row[1:].tolist()) for place, row in enumerate(found[:, look])}
        for name, found in sums.items()
    }
    return Evidence(
        started_at=0.0,
        users={place: each.n for place, each in moments["profit"].items()},
        requests={name: moments[name] for name in REQUEST_METRICS},
        values={
            name: {Bucket(place, 0.0, _NOW, _NOW): each for place, each in moments[name].items()}
            for name in _DECLARED
        },
    )

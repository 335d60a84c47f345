"""What is claimed, what was seen, and the tables that say both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

from ekiben.experiments.statistics.srm import SRM_ALPHA
from tests.proofs.statistics import scenarios
from tests.proofs.statistics.adjusted import look_at_adjusted
from tests.proofs.statistics.agreement import Difference
from tests.proofs.statistics.bots import look_at_bots
from tests.proofs.statistics.breaking import look_at_breaking
from tests.proofs.statistics.counted import Counted
from tests.proofs.statistics.differing import DifferingSeen, look_where_differing, plans
from tests.proofs.statistics.doubtful import look_at_doubts
from tests.proofs.statistics.ending import EndSeen, look_at_ends
from tests.proofs.statistics.joint import JointSeen, look_at_joint
from tests.proofs.statistics.labels import LabelsSeen, look_at_labels
from tests.proofs.statistics.peeking import ALPHA, Seen
from tests.proofs.statistics.promoting import LOOKED_AT, PromotionSeen, look_at_promotions
from tests.proofs.statistics.scenarios import POWER, split
from tests.proofs.statistics.segments import METRICS as SEGMENT_METRICS
from tests.proofs.statistics.segments import SHARES, SegmentsSeen, look_at_segments
from tests.proofs.statistics.watching import METRICS, TREATMENTS, WatchedSeen, look_at_watched

CLOSE = 1e-9
FEWER_USERS = 1 / 6
_NOTHING = "not claimed"

# With a fifth of the users in the treatment its sample variance is too small for too long.
_COVERAGE_NOT_CLAIMED = {("purchases: 95 % zeros, long tail", 0.2)}


@dataclass(frozen=True)
class Table:
    """Rows under a title, and the claims among them that do not hold."""

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    broken: tuple[str, ...]


def most(level: float, trials: int) -> float:
    """The largest share that a true level of `level` explains: level + 2 standard errors."""
    return level + 2 * sqrt(level * (1 - level) / trials)


def least(level: float, trials: int) -> float:
    return level - 2 * sqrt(level * (1 - level) / trials)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def tables(
    seen: Mapping[str, Seen], worlds: Mapping[str, Any], differences: Sequence[Difference]
) -> list[Table]:
    """All tables, in the page's order; `worlds` has what was seen in each of `WORLDS`."""
    return [
        false_alarms(seen),
        splits(seen),
        power(seen),
        coverage(seen),
        guardrails(seen),
        *(world.table(worlds[name]) for name, world in WORLDS.items()),
        agreement(differences),
    ]


def false_alarms(seen: Mapping[str, Seen]) -> Table:
    rows, broken = [], []
    for name, scenario in scenarios.no_difference().items():
        found = seen[name]
        n = found.experiments
        holds = found.sequential[-1] / n <= most(ALPHA, n)
        broken += [] if holds else [name]
        rows.append(
            (
                scenario.population.name,
                split(scenario.share),
                _marked(found.sequential[-1] / n, holds),
                f"≤ {percent(most(ALPHA, n))}",
                percent(found.unsteadied / n),
                percent(found.naive[-1] / n),
                percent(found.naive_last / n),
            )
        )
    head = ("metric", "split", "false alarms", "claimed", "without steadying", "ordinary test, every look")
    return Table("false-alarms", (*head, "ordinary test, once"), tuple(rows), tuple(broken))


def splits(seen: Mapping[str, Seen]) -> Table:
    rows, broken = [], []
    for share in scenarios.SPLITS:
        same = [seen[name] for name, each in scenarios.no_difference().items() if each.share == share]
        n = sum(each.experiments for each in same)
        alarms = sum(each.srm for each in same) / n
        holds = alarms <= most(SRM_ALPHA, n)
        broken += [] if holds else [f"SRM {split(share)}"]
        naive = sum(each.naive_srm for each in same) / n
        rows.append(
            (
                f"{split(share)}, as asked",
                f"{n:,}",
                _marked(alarms, holds, 2),
                f"≤ {100 * most(SRM_ALPHA, n):.2f} %",
                f"{100 * naive:.2f} %",
            )
        )
    for name, scenario in scenarios.mismatched().items():
        found = seen[name]
        n = found.experiments
        rows.append(
            (
                f"{split(scenario.share)}, asked 50/50",
                f"{n:,}",
                percent(found.srm / n),
                _NOTHING,
                percent(found.naive_srm / n),
            )
        )
    head = ("split", "experiments", "called a mismatch", "claimed", "Pearson's test, every look")
    return Table("srm", head, tuple(rows), tuple(broken))


def power(seen: Mapping[str, Seen]) -> Table:
    rows, broken = [], []
    for name, scenario in scenarios.difference().items():
        found, size = seen[name], scenarios.plan(scenario.population, scenario.share)
        n = found.experiments
        holds = found.better / n >= least(POWER, n)
        broken += [] if holds else [name]
        rows.append(
            (
                scenario.population.name,
                split(scenario.share),
                f"{size.effect:.3g}",
                f"{size.users:,}",
                f"{size.fixed_users:,}",
                _marked(found.better / n, holds),
                f"≥ {percent(least(POWER, n))}",
            )
        )
    head = ("metric", "split", "effect", "users planned", "fixed-sample formula", "found", "claimed")
    return Table("power", head, tuple(rows), tuple(broken))


def coverage(seen: Mapping[str, Seen]) -> Table:
    rows, broken = [], []
    for name, scenario in scenarios.difference().items():
        found = seen[name]
        n = found.experiments
        absolute, relative = 1 - found.missed / n, 1 - found.relative_missed / n
        claimed = (scenario.population.name, scenario.share) not in _COVERAGE_NOT_CLAIMED
        fine = [each >= least(1 - ALPHA, n) for each in (absolute, relative)]
        broken += [] if all(fine) or not claimed else [f"coverage {name}"]
        rows.append(
            (
                scenario.population.name,
                split(scenario.share),
                _marked(absolute, fine[0]),
                _marked(relative, fine[1]),
                f"≥ {percent(least(1 - ALPHA, n))}" if claimed else _NOTHING,
            )
        )
    head = ("metric", "split", "interval right at all looks", "relative interval", "claimed")
    return Table("coverage", head, tuple(rows), tuple(broken))


def guardrails(seen: Mapping[str, Seen]) -> Table:
    rows, broken = [], []
    for name, scenario in scenarios.at_the_margin().items():
        found = seen[name]
        n = found.experiments
        wrong = (found.holds / n, found.violated / n)
        fine = [share <= most(ALPHA, n) for share in wrong]
        broken += [] if all(fine) else [name]
        rows.append(
            (
                scenario.population.name,
                split(scenario.share),
                f"{scenario.better}, {100 * (scenario.max_worse or 0):g} %",
                *(_marked(*each) for each in zip(wrong, fine, strict=True)),
                f"≤ {percent(most(ALPHA, n))} each",
            )
        )
    head = ("metric", "split", "better, allowed", "holds", "violated", "claimed")
    return Table("guardrails", head, tuple(rows), tuple(broken))


def watched_metrics(found: WatchedSeen) -> Table:
    n = found.experiments
    holds = found.called / n <= most(ALPHA, n)
    row = (
        f"{METRICS} metrics, {TREATMENTS} treatments",
        _marked(found.called / n, holds),
        f"≤ {percent(most(ALPHA, n))}",
        percent(found.uncorrected / n),
    )
    head = ("watched", "any called better or worse", "claimed", "each by its own interval")
    return Table("watched", head, (row,), () if holds else ("watched metrics",))


def segments_and_days(found: SegmentsSeen) -> Table:
    n = found.experiments
    claims = {
        f"{len(SHARES)} segments, {SEGMENT_METRICS} metrics: any better or worse": found.called,
        "an effect that lasts: said to fade": found.fading,
    }
    rows = [
        (what, _marked(count / n, count / n <= most(ALPHA, n)), f"≤ {percent(most(ALPHA, n))}")
        for what, count in claims.items()
    ]
    rows.insert(1, ("the same, each by its own interval", percent(found.uncorrected / n), _NOTHING))
    rows.append(("an effect of three days: said to fade", percent(found.found / n), _NOTHING))
    broken = tuple(what for what, count in claims.items() if count / n > most(ALPHA, n))
    return Table("segments", ("experiments", "seen", "claimed"), tuple(rows), broken)


def ends(found: Sequence[EndSeen]) -> Table:
    rows, broken = [], []
    for each in found:
        n = each.experiments
        cells = [each.name, f"{each.planned:,}"]
        for by, share, level in each.claimed:
            holds = share / n >= least(level, n)
            broken += [] if holds else [f"{each.name}: ended by {by}"]
            cells += [_marked(share / n, holds), f"≥ {percent(least(level, n))}"]
        rows.append((*cells, percent(each.wrong / n), f"≤ {percent(most(ALPHA, n))}"))
        broken += [] if each.wrong / n <= most(ALPHA, n) else [f"{each.name}: ended wrongly"]
    head = (
        "metric",
        "users planned",
        "not better, by the plan",
        "claimed",
        "no difference, by 1.4 times that",
        "claimed",
    )
    more = ("no difference, by twice that", "claimed", "ended though the effect is `min_effect`", "claimed")
    return Table("ends", (*head, *more), tuple(rows), tuple(broken))


def promotions(found: Sequence[PromotionSeen]) -> Table:
    rows, broken = [], []
    for each in found:
        n = each.experiments
        holds = each.wrong / n <= most(ALPHA, n)
        broken += [] if holds else [f"promoted beyond the margin, {each.guardrails} guardrails"]
        rows.append(
            (
                str(each.guardrails),
                *(percent(count / n) for count in (*each.promoted, *each.divided)),
                _marked(each.wrong / n, holds),
                f"≤ {percent(most(ALPHA, n))}",
            )
        )
    by = [f"by {users:,}" for users in LOOKED_AT]
    head = (
        "guardrails",
        *(f"promoted {each}" for each in by),
        *(f"were alpha divided, {each}" for each in by),
    )
    return Table(
        "promotions", (*head, "promoted though one is at its margin", "claimed"), tuple(rows), tuple(broken)
    )


def joint_power(found: JointSeen) -> Table:
    rows, broken = [], []
    for world, promoted in found.promoted.items():
        holds = promoted >= least(POWER, found.experiments)
        broken += [] if holds else [f"joint power, {world.name}"]
        users, alone = world.plan.size.users, world.plan.alone[world.plan.bottleneck].users
        rows.append(
            (
                world.name,
                split(world.share),
                f"{world.common:g}",
                f"{alone:,}",
                f"{users:,}",
                f"{users / alone:.2f}",
                _marked(promoted, holds),
                f"≥ {percent(least(POWER, found.experiments))}",
            )
        )
    head = (
        "guardrails",
        "split",
        "correlation",
        "the bottleneck alone",
        "users planned",
        "price",
        "promoted",
    )
    return Table("joint-power", (*head, "claimed"), tuple(rows), tuple(broken))


def where_differing(found: DifferingSeen) -> Table:
    """The users that it takes, the power that they have, and how often the interval holds the truth."""
    n, (where, ordinary) = found.experiments, plans()
    rows, broken = [], []

    def claim(what: str, holds: bool, seen: str, claimed: str) -> None:
        rows.append((what, f"**{seen}**" if holds else f"**{seen} ✗**", claimed))
        broken.extend([] if holds else [f"only_where: {what}"])

    fewer = where.users / ordinary.users
    what = f"users planned, {where.users:,} in place of {ordinary.users:,}"
    claim(what, fewer <= FEWER_USERS, f"1/{1 / fewer:.1f}", f"≤ 1/{1 / FEWER_USERS:.0f}")
    power = found.found / n
    claim(
        "found with the planned users",
        power >= least(POWER, n),
        percent(power),
        f"≥ {percent(least(POWER, n))}",
    )
    rows.append(("found by all requests of as many users", percent(found.found_ordinarily / n), _NOTHING))
    for (times, missing), count in found.missed.items():
        users = "the planned users" if times == 1 else f"{times} times the planned users"
        what = f"interval right at all looks, {users}, {100 * missing:g} % / 0 % of answers missing"
        right = 1 - count / n
        claim(what, right >= least(1 - ALPHA, n), percent(right), f"≥ {percent(least(1 - ALPHA, n))}")
    return Table("differing", ("what", "seen", "claimed"), tuple(rows), tuple(broken))


def labelled(found: LabelsSeen) -> Table:
    rows, broken = [], []
    for measure, share in found.covered.items():
        holds = share >= least(1 - ALPHA, found.experiments)
        broken += [] if holds else [f"interval of {measure}"]
        claimed = f"≥ {percent(least(1 - ALPHA, found.experiments))}"
        rows.append((f"{measure}: interval covers, one look", _marked(share, holds), claimed))
    holds = found.false_alarms <= most(ALPHA, found.peeked)
    broken += [] if holds else ["ROC AUC peeking"]
    claimed = f"≤ {percent(most(ALPHA, found.peeked))}"
    rows.append(("ROC AUC: false alarms, every look", _marked(found.false_alarms, holds), claimed))
    for measure, share in (
        ("ROC AUC", found.unclustered),
        ("ROC AUC of three classes", found.classes_unclustered),
    ):
        rows.append((f"{measure}: were predictions taken for users, covers", percent(share), _NOTHING))
    return Table("labels", ("what", "seen", "claimed"), tuple(rows), tuple(broken))


def agreement(differences: Sequence[Difference]) -> Table:
    rows = tuple(
        (ours, theirs, f"{largest:.0e}" if largest else "0", f"≤ {CLOSE:.0e}")
        for ours, theirs, largest in differences
    )
    broken = tuple(ours for ours, _, largest in differences if not largest <= CLOSE)
    return Table("agreement", ("what", "beside", "largest relative difference", "claimed"), rows, broken)


def _marked(share: float, holds: bool, places: int = 1) -> str:
    text = f"{100 * share:.{places}f} %"
    return f"**{text}**" if holds else f"**{text} ✗**"


def counted(name: str) -> Callable[[Sequence[Counted]], Table]:
    """The table of a world that counts how often each of its rows happened."""

    def table(found: Sequence[Counted]) -> Table:
        rows, broken = [], []
        for each in found:
            if each.level is None:
                rows.append((each.what, percent(each.share), _NOTHING))
                continue
            bound = most(each.level, each.trials)
            broken += [] if each.share <= bound else [each.what]
            rows.append((each.what, _marked(each.share, each.share <= bound), f"≤ {percent(bound)}"))
        return Table(name, ("what", "seen", "claimed"), tuple(rows), tuple(broken))

    return table


class World(NamedTuple):
    """What is simulated by a file of its own: `look(seed)` gives what was seen, `table` says it."""

    look: Callable[[int], Any]
    table: Callable[[Any], Table]


WORLDS: Mapping[str, World] = {
    "watched metrics": World(look_at_watched, watched_metrics),
    "segments and days": World(look_at_segments, segments_and_days),
    "ends": World(look_at_ends, ends),
    "promotions": World(look_at_promotions, promotions),
    "joint power": World(look_at_joint, joint_power),
    "where versions differ": World(look_where_differing, where_differing),
    "labels": World(look_at_labels, labelled),
    "bots": World(look_at_bots, counted("bots")),
    "doubtful": World(look_at_doubts, counted("doubtful")),
    "adjusted": World(look_at_adjusted, counted("adjusted")),
    "breaking": World(look_at_breaking, counted("breaking")),
}

"""Who was exposed, kept: new exposures added to what is known of their users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ibis

from ekiben.control.analysis import exposures, outcomes
from ekiben.control.analysis.aggregates.incoming import Incoming
from ekiben.control.analysis.aggregates.kept import KeptTables
from ekiben.control.analysis.aggregates.ledger import Held, Outdated
from ekiben.control.analysis.phase import Phase, count
from ekiben.control.analysis.tables import Table
from ekiben.control.recording.files import EventFiles


def add_exposures(tables: KeptTables, files: EventFiles, phase: Phase) -> tuple[Incoming, list[Table]]:
    """Take in what is new; the users who are others now, in kept tables.

    Raises `Outdated`, `Overlapping`, and what the engine raises.
    """
    incoming = Incoming(tables, files, "exposure")
    touched = _let_go(tables, incoming.gone) if incoming.gone else []
    if incoming:
        events, standing = incoming.events(), tables.standing
        exposed = phase.exposed(events)
        standing.answers = added_up([*standing.answers, *tables.rows(exposures.answers(exposed))])
        (first,) = tables.rows(exposed.aggregate(received_at=exposed.received_at.min()))
        known = [each for each in (standing.exposed_since, first["received_at"]) if each is not None]
        standing.exposed_since = min(known, default=None)
        overridden = exposures.overridden(exposed)
        if tables.has("overridden"):
            overridden = overridden.anti_join(tables.table("overridden"), "user_hash")
        tables.add("overridden", overridden)
        touched += _merge(
            tables,
            "users",
            phase.by_user(exposed),
            exposures.added_up,
            phase.users,
            partial(_moved, phase.of_user),
        )
        elsewhere = phase.seen(phase.elsewhere(events))
        touched += _merge(tables, "seen", elsewhere, outcomes.seen_added_up, _as_it_is, _first_seen)
    tables.standing.held["exposure"] = incoming.held
    return incoming, touched


def added_up(answers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`exposures.answers` of all exposures, from its rows of some and of the others."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in answers:
        by = tuple(row[name] for name in exposures.ANSWERED_BY)
        so_far = found.get(by)
        found[by] = (
            dict(row)
            if so_far is None
            else so_far
            | {
                "requests": so_far["requests"] + row["requests"],
                "first_at": min(so_far["first_at"], row["first_at"]),
                "last_at": max(so_far["last_at"], row["last_at"]),
            }
        )
    return list(found.values())


def _merge(
    tables: KeptTables,
    name: str,
    part: Table,
    add_up: Callable[[Table], Table],
    finish: Callable[[Table], Table],
    changed: Callable[[Table], Any],
) -> list[Table]:
    """Add rows of some events to those of the others; the users of whom something is `changed`."""
    if not tables.has(name):
        tables.add(name, finish(part))
        return []
    part = tables.keep(part)
    if not count(tables, part):
        return []
    old = tables.keep(tables.table(name).semi_join(part, "user_hash"))
    new = tables.keep(finish(add_up(part.union(old.select(*part.columns)))))
    tables.remove(name, part)
    tables.add(name, new)
    others = tables.keep(new.left_join(old, "user_hash").filter(changed).select("user_hash"))
    for each in (part, old, new):
        tables.drop(each)
    return [others]


def _as_it_is(table: Table) -> Table:
    return table


def _moved(of_user: Sequence[str], joined: Table) -> Any:
    """Whether a user's first exposure is another, or the user was exposed to another variant."""
    return ibis.or_(*(~joined[name].identical_to(joined[f"{name}_right"]) for name in ("crossed", *of_user)))


def _first_seen(joined: Table) -> Any:
    """Whether a user was seen somewhere for the first time."""
    return ibis.or_(*(joined[each].notnull() & joined[f"{each}_right"].isnull() for each in outcomes.SEEN))


def _let_go(tables: KeptTables, gone: Sequence[Held]) -> list[Table]:
    """Follow what retention removed, which is always the oldest; the users who are not seen any more."""
    until = max(each.file.last for each in gone).received_at
    since = tables.standing.exposed_since
    if since is not None and since <= until:
        raise Outdated("exposures of the phase are gone")
    if tables.has("resolved"):
        given = tables.table("resolved").filter(lambda t: t.given_received_at <= until)
        if count(tables, given):
            raise Outdated("predictions that outcomes name are gone")
    if not tables.has("seen"):
        return []
    old = tables.keep(outcomes.seen_before(tables.table("seen"), until))
    tables.remove("seen", old)
    tables.add("seen", outcomes.seen_after(old, until))
    return [old.select("user_hash")]

"""`ekiben gate`: whether a trained version may be deployed, with a table of why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from ekiben.terminal.errors import EkibenError
from ekiben.terminal.tables import plain_table

if TYPE_CHECKING:
    from ekiben.publishing.gate import Checked
    from ekiben.serving.card import StoredCard


def pass_gate(console: Console, model: str, version: str, live: str) -> None:
    """Print the table. Raises EkibenError for a version that is too much worse than `live`."""
    # Imported here: BentoML takes most of a second, and few commands need it.
    from ekiben.publishing.gate import GateError, judge, read_gates

    try:
        gates = read_gates()
        if model not in gates:
            raise EkibenError(f"there is no gate for {model}: add its metrics to training/gates.yaml")
        checked = judge(gates[model], _card(model, live), _card(model, version))
    except GateError as error:
        raise EkibenError(str(error)) from None
    _show(console, model, version, live, checked)
    failed = [each.metric for each in checked if not each.passed]
    if failed:
        raise EkibenError(f"{model} {version} is worse than {live} on {', '.join(failed)}: it stops here")
    console.print(f"{model} {version} may be deployed.")


def _card(model: str, version: str) -> StoredCard:
    from bentoml.models import BentoModel

    from ekiben.serving.stored import ModelRefused, read_card

    stored = BentoModel(f"{model}_{version}:latest").stored
    if stored is None:
        raise EkibenError(f"{model} {version} is not in the BentoML store: publish it first (`ekiben train`)")
    try:
        return read_card(str(stored.tag), stored.info.metadata)
    except ModelRefused as error:
        raise EkibenError(str(error)) from None


def _show(console: Console, model: str, version: str, live: str, checked: Sequence[Checked]) -> None:
    table = plain_table(f"{model} {version} against {live}, which is live, on the same held-out rows")
    table.add_column("metric")
    for title in (live, version, "worse by", "allowed"):
        table.add_column(title, justify="right")
    table.add_column("")
    for each in checked:
        numbers = (each.live, each.candidate, each.worse_by, each.check.max_worse)
        shown = ["-" if number is None else f"{number:.4g}" for number in numbers]
        table.add_row(each.metric, *shown, "good" if each.passed else "too bad")
    console.print(table)

"""`ekiben train`: the versions of the model credit, trained, published and compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ekiben.terminal.errors import EkibenError, UsageError
from ekiben.terminal.screen import Steps
from ekiben.terminal.tables import plain_table

if TYPE_CHECKING:
    from ekiben.publishing import Published

# Of the metrics, those of the table, in this order, under these names.
COLUMNS = {
    "auc": "ROC\nAUC",
    "brier": "Brier",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "profit_per_applicant": "profit per\napplicant",
}


def train_and_compare(console: Console, versions: Sequence[str] | None) -> None:
    """Train these versions, all of them by default, and print a table. Raises EkibenError."""
    # Imported here: scikit-learn and torch take seconds, and no other command needs them.
    from ekiben.publishing import PublishingError
    from training.credit.train import UnknownVersion, train

    under_way: list[str] = []
    try:
        with Steps(console) as shown:

            def begin(version: str) -> None:
                if under_way:
                    shown.done(under_way[-1])
                under_way.append(version)
                shown.begin(version, f"training credit {version}")

            rows = train(versions, begin)
            shown.done(under_way[-1])
    except UnknownVersion as error:
        raise UsageError(str(error)) from None
    except PublishingError as error:
        raise EkibenError(str(error)) from None
    console.print(comparison_table(rows))


def comparison_table(rows: Sequence[Published]) -> Table:
    """A row for each version: what it is, its tag, its metrics on the held-out rows."""
    from training.credit.train import about

    table = plain_table("model credit on the 1,337 held-out applications")
    table.add_column("version")
    table.add_column("what it is", overflow="fold")
    table.add_column("model tag", overflow="fold")
    shown = {key: name for key, name in COLUMNS.items() if any(key in row.metrics for row in rows)}
    for name in shown.values():
        table.add_column(name, justify="right")
    for row in rows:
        values = [f"{row.metrics[key]:.3f}" if key in row.metrics else "-" for key in shown]
        tag = row.tag if row.is_new else f"{row.tag} (as before)"
        table.add_row(row.version, about(row.version), tag, *values)
    return table

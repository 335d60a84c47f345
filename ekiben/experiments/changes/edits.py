"""Making one document of another: the edits behind the verbs, and those that have no verb of their own.

Every edit raises DocumentError, in words, for what is not possible; `check_change` and `parse_document` are
the law for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.document import Document, Experiment
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError, problem, unknown, word
from ekiben.experiments.version import Version


def set_coverage(document: Document, key: str, coverage: float) -> Document:
    """So many percent of users take part from now on; nobody who takes part changes variant."""
    return lawful(document, edited(document, key, coverage=float(coverage)))


def shadow(
    document: Document, model: str, version: str, percent: float, endpoints: Iterable[str] = ()
) -> Document:
    """Copy `percent` (0 to 100) of a model's requests to a version that serves nobody by it; 0 ends it.

    With `endpoints` the version is added, or moved there; without it must be known.
    """
    held = document.models.get(model)
    if held is None:
        raise DocumentError([problem(("models",), unknown("model", model, document.models))])
    versions = dict(held.versions)
    if urls := tuple(endpoints):
        known = versions.get(version) or Version.model_construct(endpoints=urls)
        versions[version] = known.model_copy(update={"endpoints": urls})
    if version == held.live and percent > 0:
        raise DocumentError([problem(("models", model, "shadow"), f"{word(version)} is live: it serves")])
    shares = {name: share for name, share in held.shadow.items() if name != version}
    if percent:
        shares[version] = percent
    copied = held.model_copy(update={"versions": versions, "shadow": shares})
    return lawful(document, document.model_copy(update={"models": {**document.models, model: copied}}))


def forget_user(document: Document, user_id: str) -> Document:
    """No experiment overrides this user any more; an equal document when none did."""
    experiments = dict(document.experiments)
    for key, each in experiments.items():
        kept = {user: name for user, name in each.overrides.items() if user != user_id}
        experiments[key] = each.model_copy(update={"overrides": kept})
    return document.model_copy(update={"experiments": experiments})


def find_experiment(document: Document, key: str) -> Experiment:
    """The experiment of that key. Raises DocumentError."""
    if key not in document.experiments:
        raise DocumentError([unknown("experiment", key, document.experiments)])
    return document.experiments[key]


def edited(document: Document, key: str, **update: Any) -> Document:
    """The document with these fields of the experiment replaced. Nothing is checked but that it is there."""
    experiment = find_experiment(document, key).model_copy(update=update)
    return document.model_copy(update={"experiments": {**document.experiments, key: experiment}})


def lawful(before: Document, after: Document) -> Document:
    """`after`, checked as a whole and as what follows `before`."""
    checked = parse_document(after.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    check_change(before, checked)
    return checked


def refusal(key: str, message: str) -> DocumentError:
    """What is wrong with the change of an experiment."""
    return DocumentError([problem(("experiments", key), message)])

"""The checks that types cannot make: plain data only, and the agreement of a document's parts."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from itertools import combinations
from typing import Any

from ekiben.experiments.differing import only_where_problems
from ekiben.experiments.document import Document, Experiment, Model
from ekiben.experiments.lifecycle import ACTIVE
from ekiben.experiments.metric_checks import (
    begin_problems,
    end_problems,
    label_problems,
    metric_problems,
    ramp_problems,
    segment_problems,
)
from ekiben.experiments.problems import Path, Problems, below, listed, show, unknown, word
from ekiben.experiments.version import version_problems

# A small file can stand for endless data, through YAML's aliases; more than this is no experiments document.
MOST_VALUES = 200_000
DEEPEST = 16

# Half a bucket: closer to 100 than this, coverage 100 reaches every bucket.
WEIGHTS_TOLERANCE = 0.005

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
ENDPOINT = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:[0-9]{1,5})?")

_LEFT_OUT = object()


class _TooMuchError(Exception):
    pass


def plain_data(data: object, found: list[tuple[Path, str]]) -> Any:
    """Return a copy of `data` made of dicts with string keys, lists, text, numbers, bools and None.

    What is something else is left out and added to `found` with its path, so that no later step meets it.
    None when the data is endless or too deep.
    """
    left = MOST_VALUES

    def copy(value: object, path: Path) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or len(path) > DEEPEST:
            raise _TooMuchError
        if isinstance(value, dict):
            return {
                key: copied
                for key, each in value.items()
                if good_key(key, path) and (copied := copy(each, (*path, key))) is not _LEFT_OUT
            }
        if isinstance(value, list | tuple):
            # What is left out keeps its place, so that the paths of the others stay right.
            return [copy(each, (*path, index)) for index, each in enumerate(value)]
        if (why := _unfit(value)) is None:
            return value
        found.append((path, why))
        return _LEFT_OUT

    def good_key(key: object, path: Path) -> bool:
        if isinstance(key, str):
            if _is_unicode(key):
                return True
            found.append(((*path, key), "the key is not valid Unicode"))
        else:
            example = f': "{show(key)}"' if isinstance(key, int | float) and not isinstance(key, bool) else ""
            found.append(((*path, show(key)), f"the key must be text: write it in quotes{example}"))
        return False

    try:
        copied = copy(data, ())
    except _TooMuchError:
        found.append(((), "the document is too large, too deep or refers to itself"))
        return None
    return None if copied is _LEFT_OUT else copied


def _unfit(value: object) -> str | None:
    """Say why a value cannot stand in a document, or None."""
    if isinstance(value, str):
        # Neither Redis nor JSON takes half a surrogate pair.
        return None if _is_unicode(value) else "is text that is not valid Unicode"
    if isinstance(value, int):
        return None if value.bit_length() <= 63 else "is a number too large to be meant"
    if value is None or isinstance(value, float):
        return None
    return f"is {show(value)}: write text (in quotes), a number, a list or a mapping"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def document_problems(document: Document, known_models: Collection[str]) -> Problems:
    """Yield every disagreement between the parts of a document whose parts are well formed.

    `known_models` are the names the file has: a model that was left out for its own errors is not
    reported as unknown too.
    """
    for name, model in document.models.items():
        yield from below(("models", name), _model_problems(name, model))
    for key, experiment in document.experiments.items():
        yield from below(("experiments", key), _experiment_problems(key, experiment, document, known_models))
    active = [(key, each) for key, each in document.experiments.items() if each.status in ACTIVE]
    for (first_key, first), (key, experiment) in combinations(active, 2):
        if first.model == experiment.model:
            yield from below(("experiments", key), _pair_problems(first_key, first, experiment))


def _model_problems(name: str, model: Model) -> Problems:
    yield from _name_problems("a model's name", name)
    if model.live not in model.versions:
        yield ("live",), unknown("version", model.live, model.versions)
    taken: dict[str, str] = {}
    for version_name, version in model.versions.items():
        yield from below(("versions", version_name), _name_problems("a version's name", version_name))
        yield from below(("versions", version_name), version_problems(version))
        for index, endpoint in enumerate(version.endpoints):
            path = ("versions", version_name, "endpoints", index)
            if (why := _endpoint_problem(endpoint)) is not None:
                yield path, why
            elif (owner := taken.setdefault(endpoint, version_name)) != version_name:
                words = f"{endpoint} already serves version {word(owner)}: each version has its own service"
                yield path, words
            elif endpoint in version.endpoints[:index]:
                yield path, f"{endpoint} is listed twice"
    for version_name in model.shadow:
        if version_name not in model.versions:
            yield ("shadow", version_name), unknown("version", version_name, model.versions)


def _name_problems(what: str, name: str) -> Problems:
    if NAME.fullmatch(name) is None or len(name) > 100:
        yield (), f"{what} is 1 to 100 of a-z, 0-9, - and _, and begins with a letter or digit"


def _endpoint_problem(endpoint: str) -> str | None:
    match = ENDPOINT.fullmatch(endpoint)
    if match is None:
        return f"{show(endpoint)} is not an endpoint: write http://host:port, with nothing after it"
    port = match[3]
    if port is not None and not 1 <= int(port[1:]) <= 65_535:
        return f"{show(endpoint)} has the port {port[1:]}: a port is 1 to 65535"
    return None


def _experiment_problems(
    key: str, experiment: Experiment, document: Document, known_models: Collection[str]
) -> Problems:
    yield from _name_problems("an experiment's key", key)
    if experiment.model not in known_models:
        yield ("model",), unknown("model", experiment.model, known_models)
    yield from _variant_problems(experiment, document.models.get(experiment.model))
    for user, name in experiment.overrides.items():
        if not 1 <= len(user) <= 256:
            yield ("overrides", user), "a user id has 1 to 256 characters"
        if name not in experiment.variants:
            yield ("overrides", user), unknown("variant", name, experiment.variants)
    yield from metric_problems(experiment)
    yield from only_where_problems(experiment, document.models.get(experiment.model))
    if experiment.model in document.models:
        yield from label_problems(experiment, document.models[experiment.model])
        yield from begin_problems(experiment, document.models[experiment.model])
    yield from segment_problems(experiment, document.models.get(experiment.model))
    yield from end_problems(experiment)
    yield from ramp_problems(experiment)
    namespace = experiment.namespace
    if namespace is not None and namespace.from_ >= namespace.to:
        yield ("namespace",), f"from ({namespace.from_:g}) must be less than to ({namespace.to:g})"


def _variant_problems(experiment: Experiment, model: Model | None) -> Problems:
    """What is wrong with the variants; `model` is None when it is unknown or has errors of its own."""
    for name, variant in experiment.variants.items():
        yield from below(("variants", name), _name_problems("a variant's name", name))
        if model is not None and variant.version not in model.versions:
            yield ("variants", name, "version"), unknown("version", variant.version, model.versions)
    if len(experiment.variants) < 2:
        yield ("variants",), "an experiment compares at least two variants: a control and a treatment"
        return
    control, *treatments = experiment.variants
    if experiment.variants[control].retired:
        yield ("variants", control, "retired"), "is the control: its version is what retired users get"
    if all(experiment.variants[name].retired for name in treatments):
        yield ("variants",), "every treatment is retired: to end with the control, roll back"
    total = math.fsum(variant.weight for variant in experiment.variants.values())
    if abs(total - 100) > WEIGHTS_TOLERANCE:
        yield ("variants",), f"the weights add up to {total:.10g}, and must make 100"
    control, variant = next(iter(experiment.variants.items()))
    active = experiment.status in ACTIVE and model is not None and model.live in model.versions
    if active and model is not None and variant.version != model.live:
        message = (
            f"is {show(variant.version)}, but the first variant is the control, and serves the live version "
            f"({word(model.live)}) while the experiment is {experiment.status}"
        )
        yield ("variants", control, "version"), message


def _pair_problems(first_key: str, first: Experiment, second: Experiment) -> Problems:
    """What is wrong with two active experiments of one model: a user can be in one of them only."""
    ours, theirs = second.namespace, first.namespace
    if ours is None or theirs is None or ours.name != theirs.name:
        message = (
            f"{word(first_key)} is {first.status} on the same model: give both one namespace, "
            "and each its own share of it (from, to)"
        )
        yield ("namespace",), message
    elif ours.from_ < theirs.to and theirs.from_ < ours.to:
        message = (
            f"{ours.from_:g} to {ours.to:g} overlaps the {theirs.from_:g} to {theirs.to:g} "
            f"of {word(first_key)} on the same model"
        )
        yield ("namespace",), message
    both = [user for user in second.overrides if user in first.overrides]
    if both:
        yield ("overrides",), f"{word(first_key)} already overrides {listed(both)} on the same model"

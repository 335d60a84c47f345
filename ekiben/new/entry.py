"""A new version's entries: in the experiments file, and in the list of models."""

from __future__ import annotations

from urllib.parse import urlsplit

from ekiben.experiments.document import Document
from ekiben.new.insert import inserted
from ekiben.process.http.names import is_loopback
from ekiben.project.models import FILE, Listed, parse_models
from ekiben.project.names import Kind
from ekiben.state.documents.document import dump_document
from ekiben.state.documents.experiments_file import BadExperimentsFile, parse_experiments
from ekiben.terminal.errors import EkibenError

FIRST_PORT = 3001
RESERVED_PORTS = frozenset({3000, 3100})  # the router's and the controller's


def next_port(document: Document | None, listed: Listed) -> int:
    """Return the first port after the highest one that is listed or that an endpoint of this machine has."""
    endpoints = [
        urlsplit(endpoint)
        for model in (document.models.values() if document is not None else ())
        for version in model.versions.values()
        for endpoint in version.endpoints
    ]
    taken = {each.port for each in endpoints if each.port is not None and is_loopback(each.hostname or "")}
    taken |= {version.port for model in listed.values() for version in model.versions.values()}
    port = max((*taken, FIRST_PORT - 1)) + 1
    while port in RESERVED_PORTS:
        port += 1
    return port


def with_version(text: str, before: Document | None, model: str, version: str, port: int) -> str:
    """Return the experiments file's text with the version added, its model too when it is new.

    A new model's live version is this one. `before` is what the file says, None while it names no model.
    Raises EkibenError, with the entry to paste, when text cannot be put into the file as it is laid out.
    """
    wanted = dump_document(before) if before is not None else {"models": {}}
    models = wanted["models"]
    assert isinstance(models, dict)
    one = {"endpoints": [f"http://127.0.0.1:{port}"]}
    entry = f'{version}: {{endpoints: ["http://127.0.0.1:{port}"]}}'
    if model not in models:
        models[model] = {"live": version, "versions": {version: one}}
        flow = f"{model}: {{live: {version}, versions: {{{entry}}}}}"
        block = [f"{model}:", f"  live: {version}", "  versions:", f"    {entry}"]
        added = inserted(text, ("models",), flow, block)
    else:
        models[model]["versions"][version] = one
        added = inserted(text, ("models", model, "versions"), entry, [entry])
    try:
        # What was meant is the measure, however the text came about.
        if added is not None and _same(dump_document(parse_experiments(added.encode()).document), wanted):
            return added
    except BadExperimentsFile:
        pass
    raise EkibenError(
        f"cannot add {model} {version} to the experiments file as it is laid out: "
        f'write models.{model}.versions.{version}: {{endpoints: ["http://127.0.0.1:{port}"]}} yourself'
    )


def with_listed(text: str, before: Listed, model: str, version: str, kind: Kind, port: int) -> str:
    """Return the text of models.yaml with the version added, its model too when it is new.

    Raises EkibenError, with the entry to paste, when text cannot be put into the file as it is laid out.
    """
    # Texts are cut into words by scikit-learn itself.
    runs_on = "skops" if kind == Kind.TEXT else "onnx"
    entry = f"{version}: {{port: {port}, requirements: [{runs_on}]}}"
    if model in before:
        added = inserted(text, ("models", model, "versions"), entry, [entry])
    else:
        flow = f"{model}: {{kind: {kind}, versions: {{{entry}}}}}"
        block = [f"{model}:", f"  kind: {kind}", "  versions:", f"    {entry}"]
        added = inserted(text, ("models",), flow, block)
    try:
        after = parse_models(added.encode()) if added is not None else {}
    except ValueError:
        after = {}
    if _names(after) == _names(before) | {(model, version)}:
        assert added is not None
        return added
    raise EkibenError(
        f"cannot add {model} {version} to {FILE} as it is laid out: "
        f"write models.{model}.versions.{entry} yourself"
    )


def _names(listed: Listed) -> set[tuple[str, str]]:
    return {(name, each) for name, its in listed.items() for each in its.versions}


def _same(found: object, wanted: dict[str, object]) -> bool:
    return isinstance(found, dict) and {"experiments": {}, **found} == {"experiments": {}, **wanted}

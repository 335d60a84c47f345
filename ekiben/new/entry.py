"""A new version's entry in an experiments file, put in as text so that comments and layout stay."""

from __future__ import annotations

from urllib.parse import urlsplit

import yaml

from ekiben.experiments.document import Document
from ekiben.process.http.names import is_loopback
from ekiben.state.documents.document import dump_document
from ekiben.state.documents.experiments_file import BadExperimentsFile, parse_experiments
from ekiben.terminal.errors import EkibenError

FIRST_PORT = 3001
RESERVED_PORTS = frozenset({3000, 3100})  # the router's and the controller's


def next_port(document: Document) -> int:
    """Return the first port after the highest one that an endpoint of this machine has."""
    endpoints = [
        urlsplit(endpoint)
        for model in document.models.values()
        for version in model.versions.values()
        for endpoint in version.endpoints
    ]
    taken = {each.port for each in endpoints if each.port is not None and is_loopback(each.hostname or "")}
    port = max((*taken, FIRST_PORT - 1)) + 1
    while port in RESERVED_PORTS:
        port += 1
    return port


def with_version(text: str, model: str, version: str, port: int) -> str:
    """Return the experiments file's text with the version added, its model too when it is new.

    A new model's live version is this one. Raises EkibenError, with the entry to paste, when the file is
    written in a way that text cannot be put into.
    """
    before = parse_experiments(text.encode()).document
    new_model = model not in before.models
    added = _insert(text, model, version, port, new_model)
    wanted = dump_document(before)
    models = wanted["models"]
    assert isinstance(models, dict)
    one = {"endpoints": [f"http://127.0.0.1:{port}"]}
    if new_model:
        models[model] = {"live": version, "versions": {version: one}}
    else:
        models[model]["versions"][version] = one
    try:
        # What was meant is the measure, however the text came about.
        if added is not None and dump_document(parse_experiments(added.encode()).document) == wanted:
            return added
    except BadExperimentsFile:
        pass
    raise EkibenError(
        f"cannot add {model} {version} to the experiments file as it is laid out: "
        f'write models.{model}.versions.{version}: {{endpoints: ["http://127.0.0.1:{port}"]}} yourself'
    )


def _insert(text: str, model: str, version: str, port: int, new_model: bool) -> str | None:
    root = yaml.compose(text, yaml.SafeLoader)
    models = _value(root, "models")
    place = models if new_model else _value(_value(models, model), "versions")
    if not isinstance(place, yaml.MappingNode) or not place.value:
        return None
    entry = f'{version}: {{endpoints: ["http://127.0.0.1:{port}"]}}'
    if place.flow_style:
        if new_model:
            entry = f"{model}: {{live: {version}, versions: {{{entry}}}}}"
        last = place.value[-1][1].end_mark.index
        return f"{text[:last]}, {entry}{text[last:]}"
    indent = " " * place.value[0][0].start_mark.column
    lines = [f"{indent}{entry}"]
    if new_model:
        step = _step(place)
        lines = [
            f"{indent}{model}:",
            f"{indent}{step}live: {version}",
            f"{indent}{step}versions:",
            f"{indent}{step}{step}{entry}",
        ]
    held = text.splitlines(keepends=True)
    after = _last_line(place) + 1
    if not held[after - 1].endswith("\n"):
        held[after - 1] += "\n"
    return "".join([*held[:after], *(f"{line}\n" for line in lines), *held[after:]])


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _step(models: yaml.MappingNode) -> str:
    """The indentation of one level, as the first model has it."""
    name, value = models.value[0]
    inner = value.value[0][0] if isinstance(value, yaml.MappingNode) and value.value else None
    step = inner.start_mark.column - name.start_mark.column if inner is not None else 0
    return " " * (step if step > 0 else 2)


def _last_line(node: yaml.Node) -> int:
    """The last line (from 0) of a node's own text; the end mark of a block lies after comments and blanks."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node.end_mark.line if node.end_mark.column > 0 else node.end_mark.line - 1

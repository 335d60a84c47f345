"""`ekiben panic`: everyone of a model to live, by the file that the router's workers watch."""

from __future__ import annotations

from collections.abc import Mapping

from ekiben.clients.document import read_copy, read_document
from ekiben.state.panic import ALL_MODELS, panic_file, read_panic, write_panic
from ekiben.terminal.errors import EkibenError, UsageError
from ekiben.terminal.settings import Settings


def press(
    settings: Settings, environ: Mapping[str, str], model: str | None, *, everyone: bool, off: bool
) -> tuple[str, str]:
    """Turn the switch on or off for a model or for everyone; with neither, only tell what is on.

    Returns what is so now, and a doubt whether it is as it was meant: "" for none.
    Raises UsageError for what contradicts itself and for a model that is not there, EkibenError when the file
    cannot be written.
    """
    if model is not None and everyone:
        raise UsageError("name a model or give --all, not both")
    path = panic_file(environ, settings.data_dir)
    held = read_panic(path)
    if model is None and not everyone:
        if off:
            raise UsageError("name the model to end it for, or give --all")
        return (f"panic is on for {_named(held)} ({path})" if held else f"panic is off ({path})"), ""
    if model is not None and not off:
        _check_known(settings, model)
    doubt = _doubt(settings, environ)
    if off and model is not None and ALL_MODELS not in held and model not in held:
        return f"panic is not on for {model}; it is on for {_named(held)}", doubt
    wanted = _without(held, model) if off else _with(held, model)
    try:
        write_panic(path, wanted)
    except OSError as error:
        raise EkibenError(f"cannot write {path}: {error.strerror or error}") from None
    if off:
        left = f"; it is still on for {_named(wanted)}" if wanted else ""
        return f"panic is off for {model or 'all models'}: the experiments decide again{left}", doubt
    return (
        f"panic is on for {_named(wanted)}: within a second everyone gets live\n"
        f"the workers that watch {path} obey; `ekiben panic {model or '--all'} --off` ends it"
    ), doubt


def _with(held: frozenset[str], model: str | None) -> frozenset[str]:
    if model is None or ALL_MODELS in held:
        return frozenset({ALL_MODELS})
    if not model or model.startswith("#") or model != model.strip() or len(model.splitlines()) != 1:
        raise UsageError(f"{model!r} is not the name of a model")
    return held | {model}


def _without(held: frozenset[str], model: str | None) -> frozenset[str]:
    if model is None:
        return frozenset()
    if ALL_MODELS in held:
        raise EkibenError("panic is on for all models, not for one: `ekiben panic --all --off` ends it")
    return held - {model}


def _named(models: frozenset[str]) -> str:
    return "all models" if ALL_MODELS in models else ", ".join(sorted(models)) or "no model"


def _check_known(settings: Settings, model: str) -> None:
    """Raise UsageError for a model that the experiments known here do not have: nobody would get live."""
    try:
        stored = read_copy(settings.data_dir)
        document = stored.document if stored else read_document(settings.experiments_file).document
    except EkibenError:
        return
    if model not in document.models:
        known = ", ".join(document.models)
        raise UsageError(f"there is no model {model!r} (known: {known}); --all sends everyone to live")


def _doubt(settings: Settings, environ: Mapping[str, str]) -> str:
    """What makes it likely that this changes nothing: nobody here."""
    if settings.data_dir.exists() or environ.get("EKIBEN_PANIC_FILE"):
        return ""
    return (
        f"there was no data directory {settings.data_dir}, so no router here can be using it: "
        "name the router's own with EKIBEN_DATA_DIR or EKIBEN_PANIC_FILE"
    )

"""`ekiben init`: the folder of a project of models, with everything but the models."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console

from ekiben.terminal.errors import EkibenError

_FILES: Final = Path(__file__).parent / "files"
# Where each file goes.
_PLACES: Final = {
    "gitignore": ".gitignore",
    "Makefile": "Makefile",
    "README.md": "README.md",
    "experiments.yaml": "experiments.yaml",
    "gates.yaml": "training/gates.yaml",
    "locustfile.py": "loadtests/locustfile.py",
    "models.yaml": "models.yaml",
    "requirements.txt": "requirements.txt",
}
_PACKAGES: Final = {
    "services": '"""The models: what each is asked, what it answers, and a service for each version."""\n',
    "training": '"""From data to published versions."""\n',
}


def begin_project(console: Console, folder: Path) -> None:
    """Make the folder, a git repository, and print what to do next. Raises EkibenError.

    Nothing is written into a folder that has anything in it but a git repository.
    """
    try:
        if folder.exists() and (not folder.is_dir() or {each.name for each in folder.iterdir()} - {".git"}):
            raise EkibenError(f"{folder} is there already and not empty: nothing is written over it")
        if (git := shutil.which("git")) is None:
            raise EkibenError("git is not installed: a project is a git repository")
        for name, text in _texts(folder.absolute().name).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EkibenError(f"cannot write {folder}: {error.strerror or error}") from None
    begin = [git, "init", "-q"]
    done = subprocess.run(begin, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise EkibenError(f"git init failed in {folder}: {done.stderr.strip()}")
    into = "" if folder.absolute() == Path.cwd() else f"cd {folder} && "
    console.print(
        f"{folder} is a project. Next: {into}ekiben new churn v1 --kind classification --features age,plan",
        soft_wrap=True,
    )


def _texts(name: str) -> dict[str, str]:
    told = {"PROJECT_NAME": name, "LIBRARY_VERSION": version("ekiben")}
    texts = {f"{package}/__init__.py": text for package, text in _PACKAGES.items()}
    for source, place in _PLACES.items():
        text = (_FILES / source).read_text(encoding="utf-8")
        for word, meant in told.items():
            text = text.replace(word, meant)
        texts[place] = text
    return texts

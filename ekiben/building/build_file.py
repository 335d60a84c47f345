"""A version's build file, as BentoML reads it: made from its entry in models.yaml."""

from __future__ import annotations

import yaml

from ekiben.project.models import ListedVersion, service_of
from ekiben.project.names import stored_name

LIBRARY = ("ekiben/__init__.py", "ekiben/process/*.py", "ekiben/serving/**/*.py")
"""What of this library a service holds, as patterns below the folder that is built in."""


def build_file(model: str, version: str, listed: ListedVersion, lock: str) -> str:
    """The text of the build file. `lock` is the file of requirements, below the folder that is built in."""
    module, service = service_of(model, version, listed)
    top, *rest = module.split(".")
    parts = [f'  - "{pattern}"\n' for pattern in (*LIBRARY, *_own(top, rest))]
    return (
        f'service: "{module}:{service}"\n'
        f"name: {stored_name(model, version)}\n"
        f"labels:\n  model: {yaml_text(model)}\n  version: {yaml_text(version)}\n"
        f"include:\n{''.join(parts)}"
        'exclude:\n  - "__pycache__/"\n'
        f"python:\n  requirements_txt: {lock}\n"
        "  lock_packages: false  # locked already; BentoML's lock would write down the index's address\n"
        'docker:\n  python_version: "3.11"\n'
    )


def yaml_text(text: str) -> str:
    """A text as a YAML scalar that is read as that text, whatever it looks like."""
    return yaml.safe_dump(text).splitlines()[0]


def _own(top: str, rest: list[str]) -> list[str]:
    """The patterns of a module's own files: its folder, and the `__init__` of each folder around it."""
    if not rest:
        return [f"{top}.py"]
    folders = [top, *rest[:-1]]
    around = ["/".join([*folders[:depth], "__init__.py"]) for depth in range(1, len(folders))]
    return [*around, "/".join([*folders, "**"])]

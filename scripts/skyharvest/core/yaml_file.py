"""YAML files of keys and values: configurations and registries."""

import functools
from pathlib import Path
from typing import Any

from skyharvest.core.errors import InputError


def read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file says, without judging it. Tags are not obeyed. It is shared: copy it before a change.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else than keys and values.
    """
    import yaml  # noqa: PLC0415 (programs that only take file names apart do without)

    try:
        document = _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected keys and values, found {type(document).__name__}")
    return document


@functools.lru_cache(maxsize=4)  # the registry of releases is asked for by each survey
def _parse(text: str) -> Any:
    import yaml  # noqa: PLC0415 (see above)

    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe loaders)

"""The limits of values: ``config/hetdex_qa_limits.yaml``, and a user's own file, which is laid over it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.errors import InputError
from skyharvest.core.paths import CONFIG
from skyharvest.core.words import nearest
from skyharvest.core.yaml_file import read_yaml
from skyharvest.reduction.hetdex.qa.definitions import DEFINITIONS
from skyharvest.reduction.limits import LEVELS, Bounds, check_keys, check_levels, state_of

DEFAULT = CONFIG / "hetdex_qa_limits.yaml"


@dataclass(frozen=True)
class Limits:
    """Limits of all values.

    Attributes
    ----------
    of
        Value → ``warn`` and ``bad`` → (low, high).
    """

    of: Mapping[str, Mapping[str, Bounds]]

    def find(self, name: str) -> Mapping[str, Bounds]:
        """Return the limits of a value; empty if it has none."""
        return self.of.get(name, {})

    def judge(self, name: str, value: float) -> str:
        """Return the state of a value; one that is no number is BAD if it has limits."""
        return state_of(value, self.find(name))


def read_limits(own: Path | None = None, default: Path = DEFAULT) -> Limits:
    """Return the limits; what a user's own file says of a value and level is instead of the default's.

    A value of which it says nothing, ``{}``, has no limits.

    Raises
    ------
    InputError
        If a file has a value that there is not, or a key, or limits that cannot be; says which, and what is expected.
    """
    of = _checked(default)
    for name, said in (_checked(own) if own else {}).items():
        of[name] = of.get(name, {}) | said if said else {}
    return Limits(of)


def _checked(path: Path) -> dict[str, dict[str, Bounds]]:
    made = {}
    for name, said in read_yaml(path).items():
        if name not in DEFINITIONS:
            raise InputError(f"{path}: there is no value {name}{nearest(str(name), DEFINITIONS)}")
        check_keys(f"{path}, {name}", said, LEVELS)
        made[name] = check_levels(f"{path}, {name}", said)
    return made

"""How long to keep trying an archive that does not answer as it should."""

import os
import random
from dataclasses import asdict, dataclass
from typing import Any, Self

from skyharvest.core.errors import InputError

PATIENCE_VARIABLE = "SKYHARVEST_PATIENCE"
MOST_PATIENT = 86_400


@dataclass(frozen=True)
class Patience:
    """Retries and timeouts.

    Attributes
    ----------
    tries
        Attempts per request, the first included.
    base_s, cap_s
        The wait before attempt n is drawn from [0.5, 1] × min(cap_s, base_s 2ⁿ⁻¹) seconds; jitter keeps many jobs
        from coming back at the same moment.
    retry_after_cap_s
        A server's ``Retry-After`` is obeyed up to this many seconds.
    connect_s, read_s
        Timeouts of a connect and of each single read, in seconds.
    """

    tries: int = 8
    base_s: float = 1.0
    cap_s: float = 60.0
    retry_after_cap_s: float = 300.0
    connect_s: float = 15.0
    read_s: float = 60.0

    @classmethod
    def from_environment(cls) -> Self:
        """Return what the environment variable `PATIENCE_VARIABLE` sets, such as ``tries=20 cap_s=600``.

        Raises
        ------
        InputError
            If it holds anything but the attributes above.
        """
        defaults = asdict(cls())
        values: dict[str, Any] = {}
        for word in os.environ.get(PATIENCE_VARIABLE, "").split():
            key, _, value = word.partition("=")
            try:
                values[key] = type(defaults[key])(value)
                valid = 0 < values[key] <= MOST_PATIENT
            except (KeyError, ValueError):
                valid = False
            if not valid:
                raise InputError(
                    f"{PATIENCE_VARIABLE}: found {word!r}; expected words such as tries=20 cap_s=600, of "
                    f"{', '.join(defaults)}, each more than 0 and at most {MOST_PATIENT:,}"
                )
        return cls(**values)

    def wait_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Return the seconds to wait after failed attempt number ``attempt`` (1, 2, …)."""
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 99)) * random.uniform(0.5, 1.0)  # noqa: S311
        if retry_after_s is None:
            return backoff
        return max(backoff, min(retry_after_s, self.retry_after_cap_s))

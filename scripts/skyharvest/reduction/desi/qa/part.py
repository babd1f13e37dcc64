"""What the measurements of all QATYPEs share: what they return, and which fibers they are of."""

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from desispec.exposure_qa import get_qa_params
from desispec.maskbits import fibermask

from skyharvest.core.arrays import Array, Bools, Floats, Ints
from skyharvest.reduction.desi.qa.measured import Curve, Metric

DEAD, LOW = 0.2, 0.6
"""Of the light of other fibers: a fiber with less is dead, or low."""
DIGITS = 5


@dataclass
class Part:
    """What is measured of one step: metrics, not yet judged, and curves."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)

    def add(self, name: str, value: Any, at: str = "") -> None:
        """Add a metric; what is no number is none."""
        number = float(value)
        made = Metric(rounded(number), at=at) if np.isfinite(number) else Metric(None, at=at or "it is no number")
        self.metrics[name] = made

    def line(self, name: str, x: Any, y: Any, x_label: str, y_label: str, says: str, kind: Any = "line") -> None:
        """Add a curve, without the points that are no numbers; a histogram (``steps``) has one edge x more."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        if kind != "steps":
            good = np.isfinite(x) & np.isfinite(y)
            x, y = x[good], y[good]
        self.curves[name] = Curve(kind, _numbers(x), _numbers(y), x_label, y_label, says)


def rounded(value: float) -> float:
    """Return a number to `DIGITS` + 1 digits."""
    return float(f"{value:.{DIGITS}e}")


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(rounded(value) for value in values)


def binned(x: Floats, y: Floats, n: int = 80) -> tuple[Floats, Floats]:
    """Return medians of y, (n_x,) or (…, n_x), in about ``n`` bins of x: (n,) f8 both; NaN in a bin without numbers."""
    edges = np.linspace(0, x.size, min(n, x.size) + 1).astype(int)
    y = y.reshape(-1, x.size)
    middle = [float(np.mean(x[i:j])) for i, j in pairwise(edges)]
    return np.array(middle), np.array([_median(y[:, i:j]) for i, j in pairwise(edges)])


def _median(values: Array) -> float:
    good = values[np.isfinite(values)]
    return float(np.median(good)) if good.size else np.nan


def width(values: Floats) -> float:
    """Return the width of a distribution: 1.4826 × the median distance from the median, σ of a Gaussian."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


@lru_cache(maxsize=1)
def _bad_bits() -> int:
    return int(fibermask.mask(get_qa_params()["exposure_qa"]["bad_qafstatus_mask"]))


def known_bad(fibermap: Any) -> Bools:
    """Return which fibers are bad by FIBERSTATUS, and the bits of desispec's ``qa-params.yaml``: (n_fiber,) bool."""
    return np.asarray((np.asarray(fibermap["FIBERSTATUS"]).astype(np.int64) & _bad_bits()) != 0)


def light_of(flux: Floats, ivar: Floats) -> Floats:
    """Return the median flux of each fiber's good pixels, (n_fiber,) f8; 0 where there are none."""
    good = np.where(ivar > 0, flux, np.nan)
    made = np.zeros(len(flux))
    some = np.isfinite(good).any(axis=1)
    made[some] = np.nanmedian(good[some], axis=1)
    return made


def fiber(fibers: Ints, k: int) -> str:
    """Return how a fiber is called."""
    return f"fiber {int(fibers[k])}"


def fibers_of(fibers: Ints, which: Bools, shown: int = 5) -> str:
    """Return how some fibers are called."""
    some = [str(int(one)) for one in fibers[which]]
    return f"fiber {', '.join(some[:shown])}{' …' if len(some) > shown else ''}" if some else ""

"""What desispec's preprocessing needs of the package specter, which no registry has: traces as Legendre polynomials.

desispec asks for ``specter.util.traceset.TraceSet`` where an amplifier is bad, to find its fibers, and for nothing
else. Where specter is installed, it is used.
"""

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legval

from skyharvest.core.arrays import Floats


class TraceSet:
    """Polynomials of fibers.

    Parameters
    ----------
    coeff
        (n_fiber, degree + 1): Legendre coefficients.
    domain
        First and last value of the variable: -1 and 1 of the polynomials.
    """

    def __init__(self, coeff: Any, domain: Any) -> None:
        self._coeff = np.array(coeff, np.float64)
        self._xmin, self._xmax = domain

    def eval(self, ispec: Any, x: Any) -> Floats:
        """Return values of some fibers: with an axis of fibers unless ``ispec`` is one number, and of x unless x is.

        Parameters
        ----------
        ispec
            Fibers, as numbers; None for all.
        """
        scaled = 2 * (np.asarray(x, np.float64) - self._xmin) / (self._xmax - self._xmin) - 1
        some = self._coeff if ispec is None else self._coeff[ispec]
        return np.asarray(legval(scaled, some.T))


def stand_in() -> None:
    """Let desispec import `TraceSet` as specter's, where that is not installed."""
    if "specter" in sys.modules or find_spec("specter") is not None:
        return
    names = ("specter", "specter.util", "specter.util.traceset")
    modules = [ModuleType(name) for name in names]
    modules[-1].TraceSet = TraceSet  # type: ignore[attr-defined]
    sys.modules.update(zip(names, modules, strict=True))

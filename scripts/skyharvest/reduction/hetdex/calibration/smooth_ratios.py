"""Smooth curves through noisy ratios: splines with a penalty on their third differences (Eilers & Marx 1996).

Many curves at once, which share one strength of the penalty, the one with the best generalised cross-validation over
all of them (Craven & Wahba 1979, Numer. Math. 31, 377): curves are as smooth as their noise and true shape allow.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

from skyharvest.core.arrays import Floats

PENALTIES = np.geomspace(1e-4, 1e8, 25)
PENALISED = 3
"""Order of the differences that are penalised."""


@dataclass(frozen=True)
class Smoothed:
    """Curves.

    Attributes
    ----------
    ratio
        (n, m) float64.
    error
        Standard errors of it, (n, m) float64.
    chi2
        Reduced, of all.
    """

    ratio: Floats
    error: Floats
    chi2: float


def smooth(values: Floats, model: Floats, weight: Floats, intervals: int) -> Smoothed:
    """Return ratios of values to models: values = ratio × model + noise, on an even grid.

    Parameters
    ----------
    values, model
        (n, m).
    weight
        Inverse variances of the values, (n, m); 0 where there is none.
    intervals
        Pieces of a curve.
    """
    m = values.shape[1]
    knots = np.concatenate([[-1] * 3, np.linspace(-1, 1, intervals + 1), [1] * 3])
    basis = BSpline.design_matrix(np.linspace(-1, 1, m), knots, 3).toarray()
    design = basis[None] * model[:, :, None]
    weighted = (design * weight[:, :, None]).transpose(0, 2, 1)
    normal = np.matmul(weighted, design)
    right = np.matmul(weighted, values[:, :, None])
    total = float((weight * values**2).sum())
    known = int((weight > 0).sum())
    difference = np.diff(np.eye(basis.shape[1]), PENALISED, axis=0)
    roughness = difference.T @ difference
    roughness *= np.median(np.trace(normal, axis1=1, axis2=2)) / len(roughness)
    best, chosen, chi2 = np.inf, PENALTIES[-1], 1.0
    for penalty in PENALTIES:
        damped = normal + penalty * roughness
        # Of both at once: the terms, and the hat matrix, whose trace is what has been fitted.
        solved = np.linalg.solve(damped, np.concatenate([right, normal], axis=2))
        terms, freedom = solved[:, :, :1], float(np.trace(solved[:, :, 1:], axis1=1, axis2=2).sum())
        left = total - 2 * float((terms * right).sum()) + float((terms * (normal @ terms)).sum())
        score = left / max(known - freedom, 1.0) ** 2
        if score < best:
            best, chosen, chi2 = score, penalty, left / max(known - freedom, 1.0)
    damped = normal + chosen * roughness
    inverse = np.linalg.inv(damped)
    ratio = (inverse @ right)[:, :, 0] @ basis.T
    variance = (np.matmul(basis[None], inverse) * basis[None]).sum(axis=2) * max(1.0, chi2)
    return Smoothed(ratio, np.sqrt(np.maximum(variance, 0)), chi2)

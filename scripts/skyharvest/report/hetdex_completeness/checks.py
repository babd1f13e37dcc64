"""What the page checks: numbers of all lines that were put in, against what they should be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.reduction.hetdex.lines.completeness_file import Pooled, fit_fleming, statistics

MOST_FALSE = 1 / 3
"""Lines that the fibers of an IFU in a shot have when their sign is turned."""


@dataclass(frozen=True)
class Check:
    """A number, and from where to where it may be; None is no limit.

    Attributes
    ----------
    says
        What it is of.
    """

    name: str
    says: str
    value: float
    low: float | None
    high: float | None

    @property
    def state(self) -> str:
        """OK or WARN; no text if there is no number, or no limit."""
        if not np.isfinite(self.value) or (self.low, self.high) == (None, None):
            return ""
        too_low = self.low is not None and self.value < self.low
        too_high = self.high is not None and self.value > self.high
        return "WARN" if too_low or too_high else "OK"


def checks_of(pooled: Pooled) -> Sequence[Check]:
    """Return all checks."""
    rows = pooled.injected
    isolated = rows[rows["isolated"] > 0]
    found = statistics(isolated)
    done = [unit for unit in pooled.units if not unit["failed"]]
    false = (pooled.found["sign"] < 0) & (pooled.found["isolated"] > 0)
    n_false = float(false.sum()) / len(done) if done else np.nan
    scatter = float(np.median([unit["scatter"] for unit in done])) if done else np.nan
    least = float(np.median([unit["least_sn"] for unit in done])) if done else np.nan
    half, _ = fit_fleming(isolated["flux"] / isolated["limit"], isolated["found"])
    by_product = isolated["limit"] / isolated["noise"]
    by_product = by_product[np.isfinite(by_product)]
    n, above = f"{len(isolated):,} isolated lines", "above flux / error 6"
    faint, bright, faint_known, bright_known = (
        f"{found[f'n_{name}']:,.0f} isolated lines" for name in ("faint", "bright", "faint_known", "bright_known")
    )
    return (
        Check("Completeness at flux / error 5 to 6", faint, found["completeness_faint"], 0.85, None),
        Check("Completeness above flux / error 6.5", bright, found["completeness_bright"], 0.95, None),
        Check("… at S/N 5 to 6, as flux limits have it", faint_known, found["completeness_faint_known"], None, None),
        Check("… above S/N 6.5, as flux limits have it", bright_known, found["completeness_bright_known"], None, None),
        Check("Flux, measured over true", f"median {above}", found["flux_ratio"], 0.95, 1.05),
        Check("Scatter of the flux by its error", above, found["flux_pull"], 0.9, 1.1),
        Check("Wavelength, Å rms", above, found["wave_rms"], None, 0.5),
        Check("Position, ″ rms", above, found["position_rms"], None, 0.4),
        Check(
            "Lines kept with the sign turned",
            f"per IFU and shot, of {len(done):,}, on no continuum",
            n_false,
            None,
            MOST_FALSE,
        ),
        Check("Scatter of the search's S/N", "median, where there is noise alone", scatter, 0.95, 1.05),
        Check("Flux limits over the noise at lines", f"median of {n}", _median(by_product), 0.95, 1.05),
        Check("Flux at which half is found, over the limit", f"at the cut of S/N {least:g}", half / least, 0.9, 1.1),
    )


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else np.nan

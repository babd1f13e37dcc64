"""Spectra of assembled files."""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError
from skyharvest.harvest.shown import ReaderDescription
from skyharvest.products.values import installed, listed, values_of

MORE = ("lsf_sigma", "resolution", "coverage")


@dataclass(frozen=True)
class Spectra:
    """Spectra on one grid; of a single row the arrays lack their first axis.

    Attributes
    ----------
    wavelength : (w,) float64
        Å, vacuum, for HETDEX as well.
    flux : (n, w) float32
        In ``unit``. HETDEX: NaN where there is none.
    ivar : (n, w) float32
        Inverse variance, 0 where there is no measurement. HETDEX: computed from the error.
    error : (n, w) float32
        NaN where there is no measurement. DESI: 1 / √ivar.
    mask : (n, w) int32, uint32 or bool
        0 = good. DESI: bits of desispec's ``specmask``; HETDEX: True where there is no flux.
    unit : str
        Of flux and error, as astropy reads it.
    lsf_sigma : (n, w) float32 or None
        DESI: width of the line-spread function, pixels of 0.8 Å.
    resolution : (n, ndiag, w) float32 or None
        DESI's native arms: diagonals of the resolution matrix.
    coverage : (n, w) float32 or None
        HETDEX: share of the aperture with good voxels.
    wavelength_air : (w,) float64 or None
        HETDEX: Å, air.
    """

    wavelength: Floats
    flux: Array
    ivar: Array
    error: Array
    mask: Array
    unit: str
    lsf_sigma: Array | None = None
    resolution: Array | None = None
    coverage: Array | None = None
    wavelength_air: Floats | None = None


def read_spectra(group: h5py.Group, layout: ReaderDescription, kind: str, index: Any, *, wide: bool = True) -> Spectra:
    """Read spectra of a survey's group.

    Parameters
    ----------
    layout
        The survey's.
    kind
        One of ``layout.kinds``.
    index
        Row numbers: an integer, (k,) int64, or None for all.
    wide
        Whether to read the resolution, and what else there is beside flux, its uncertainty and mask.

    Raises
    ------
    InputError
        If the file has no such spectra. The message says which there are, and the option that makes them.
    """
    there = [name for name in layout.kinds if f"{name}_flux" in group]
    if kind not in there:
        option = layout.kinds.get(kind)
        how = f"; {option!r} in the configuration makes them" if option else ""
        raise InputError(f"{group.file.filename} has no spectra {kind!r}; it has {listed(there) or 'none'}{how}")
    parts = {
        name: values_of(group[f"{kind}_{name}"], index)
        for name in ("flux", "ivar", "error", "mask", *(MORE if wide else ()))
        if f"{kind}_{name}" in group
    }
    if layout.uncertainty == "ivar":
        parts["error"] = _inverse(np.sqrt(parts["ivar"]), np.nan)
    else:
        good = np.isfinite(parts["flux"])
        parts["ivar"] = np.where(good, _inverse(np.square(parts["error"]), 0), 0).astype(parts["error"].dtype)
    parts.setdefault("mask", ~np.isfinite(parts["flux"]))
    if layout.wavelength_air:
        parts["wavelength_air"] = group[layout.wavelength_air.format(kind=kind)][:]
    wavelength = group[layout.wavelength.format(kind=kind)][:]
    return Spectra(wavelength, unit=str(group[f"{kind}_flux"].attrs.get("unit", "")), **parts)


def to_specutils(spectra: Spectra, layout: ReaderDescription, table: Any) -> Any:
    """Return spectra as specutils has them; ``table`` has the columns of their rows."""
    specutils = installed("specutils", "to_specutils")
    from astropy import units  # noqa: PLC0415 (comes with specutils)
    from astropy.nddata import InverseVariance, StdDevUncertainty  # noqa: PLC0415

    unit = units.Unit(spectra.unit)
    meta = [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]
    single = spectra.flux.ndim == 1
    make = specutils.Spectrum if single else specutils.SpectrumCollection
    return make(
        flux=units.Quantity(spectra.flux, unit, copy=False),
        spectral_axis=units.Quantity(np.broadcast_to(spectra.wavelength, spectra.flux.shape), "Angstrom"),
        uncertainty=InverseVariance(spectra.ivar, unit**-2)
        if layout.uncertainty == "ivar"
        else StdDevUncertainty(spectra.error, unit),
        mask=spectra.mask != 0,
        meta=meta[0] if single else meta,
    )


def _inverse(values: Array, instead: float) -> Array:
    """Return 1 / values, in their own precision, and something else where they are not positive."""
    positive = values > 0
    return np.where(positive, 1 / np.where(positive, values, 1), instead).astype(values.dtype)

"""What the viewer of the Legacy Surveys can be asked for: its layers, and the limits of a request.

Source: the viewer's own list of its addresses, https://www.legacysurvey.org/viewer/urls, and the layers of its menu and
of its function ``get_layer`` (https://github.com/legacysurvey/imagine, ``templates/urls.html`` and ``map/views.py`` of
20 August 2026); ``subimage``: https://www.legacysurvey.org/svtips; 512 pixels:
https://www.legacysurvey.org/dr10/description.

Imported wherever a configuration is checked: from the standard library only.
"""

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

VIEWER = "https://www.legacysurvey.org/viewer"
MOST_PIXELS = 512  # of a side
FORMATS = ("jpg", "fits")

_IN_PARTS = {
    "ls-dr8": ("north", "south"),
    "ls-dr9": ("north", "south"),
    "ls-dr10": ("south",),
    "ls-dr11": ("north", "south"),
}
_OLDER = ("decals-dr5", "decals-dr7", "mzls+bass-dr6")
_KINDS = ("", "-model", "-resid")

PSF_LAYERS = tuple(
    sorted([*_OLDER, *_IN_PARTS, *(f"{dr}-{part}" for dr, parts in _IN_PARTS.items() for part in parts)])
)
"""Layers of coadds whose PSFs the viewer makes."""

LAYERS = tuple(
    sorted(
        [
            *(f"{name}{kind}" for name in (*PSF_LAYERS, "ls-dr9.1.1", "decaps", "decaps2") for kind in _KINDS),
            *(f"{name}{kind}-grz" for name in ("ls-dr10", "ls-dr10-south") for kind in _KINDS),
            *("ls-dr10-gri", "ls-dr10-south-gri", "ls-dr10-segmentation", "ls-dr67"),
            *(f"decaps2{kind}-riy" for kind in _KINDS),
            *(
                f"unwise-{name}"
                for name in ("neo2", "neo3", "neo4", "neo6", "neo7", "neo11", "w1w2", "w3w4", "cat-model")
            ),
            *(
                "act-dr6-f150",
                "des-dr1",
                "galex",
                "halpha",
                "hsc-dr2",
                "hsc-dr3",
                "ps1",
                "sdss",
                "sfd",
                "vlass1.2",
                "wssa",
            ),
        ]
    )
)
"""Layers of cutouts. Only the maps of infrared and Hα light cover the whole sky."""

_BANDS = re.compile(r"[A-Za-z0-9,-]{1,64}")


@dataclass(frozen=True)
class ViewerRequest:
    """What is wanted of every source.

    Attributes
    ----------
    layers
        Of the cutouts, among `LAYERS`.
    psf_layers
        Of the PSFs, among `PSF_LAYERS`.
    formats
        Of the cutouts, among `FORMATS`.
    size
        Pixels of a cutout's side.
    pixscale
        Arcsec per pixel; None leaves it to the viewer, which takes the layer's own.
    bands
        Such as ``grz``; None leaves them to the viewer, which takes all if a layer lacks one.
    subimage
        FITS cutouts are pieces of the coadds, with inverse variances, not resampled images.
    """

    layers: tuple[str, ...] = ()
    psf_layers: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("jpg",)
    size: int = 160
    pixscale: float | None = None
    bands: str | None = None
    subimage: bool = False

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield each attribute that the viewer would not understand, with what is wrong and what is expected."""
        for key, names, valid in (("layers", self.layers, LAYERS), ("psf_layers", self.psf_layers, PSF_LAYERS)):
            for name in names:
                problem = layer_problem(name, valid)
                if problem:
                    yield key, problem
            yield from ((key, f"{name!r} is there twice") for name in sorted({n for n in names if names.count(n) > 1}))
        if not self.layers and not self.psf_layers:
            yield "layers", "found none, nor any of psf_layers; expected one or more"
        if not self.formats or set(self.formats) - set(FORMATS) or len(set(self.formats)) < len(self.formats):
            yield "formats", f"found {list(self.formats)}; expected jpg, fits, or both"
        if not 1 <= self.size <= MOST_PIXELS:
            yield "size", f"found {self.size}; expected 1 to {MOST_PIXELS} pixels, the viewer's documented maximum"
        if self.pixscale is not None and not (math.isfinite(self.pixscale) and 0 < self.pixscale <= 3600):
            yield "pixscale", f"found {self.pixscale}; expected arcsec per pixel, more than 0 and at most 3600"
        if self.bands is not None and not _BANDS.fullmatch(self.bands):
            yield "bands", f"found {self.bands!r}; expected letters of bands, such as grz"
        if self.subimage and "fits" not in self.formats:
            yield "subimage", "found true, but the viewer cuts pieces of coadds out as FITS only: add fits to formats"


def layer_problem(name: str, valid: tuple[str, ...] = LAYERS) -> str | None:
    """Return what is wrong with a layer's name, with the nearest names that there are; None if nothing is."""
    if name in valid:
        return None
    if name in LAYERS:
        return f"{name!r} has no PSFs; expected one of {', '.join(valid)}"
    near = [other for other in valid if name and other.startswith(name.lower())]
    near = near or difflib.get_close_matches(name.lower(), valid, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near[:3])}?" if near else f"expected one of {', '.join(valid)}"
    return f"the viewer has no layer {name!r}; {hint}"

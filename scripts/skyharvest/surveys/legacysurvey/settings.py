"""The Legacy Surveys' settings, and what may be wrong between them."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from skyharvest.core.settings import Distinct, Limited, Number, Switch, Whole, section, setting, subsection
from skyharvest.harvest.settings import Again, Given, Problem, forbidden_is_absent
from skyharvest.surveys.legacysurvey.release import Band
from skyharvest.surveys.legacysurvey.viewer.layers import MOST_PIXELS, VIEWER, ViewerRequest

Layer = Annotated[str, Limited("A layer's name.", min_length=1)]
Product = Literal["image", "invvar", "maskbits", "model", "blobmodel", "chi2", "depth", "galdepth", "nexp", "psfsize"]
Radius = Annotated[float, Limited("A radius, in arcseconds.", strict=True, gt=0, le=60)]


@section
class Viewer:
    """Cutouts that only the survey's viewer has, asked for one by one, as fast as it lets."""

    layers: Annotated[list[Layer], Distinct()] = setting(
        [], "Layers to take cutouts of, such as ls-dr10-model, unwise-neo7, galex, vlass1.2 or hsc-dr3."
    )
    psf_layers: Annotated[list[Layer], Distinct()] = setting(
        [], "Layers to take point-spread functions of, such as ls-dr10."
    )
    formats: Annotated[list[Literal["jpg", "fits"]], Distinct(min_length=1)] = setting(["jpg"], "jpg, fits, or both.")
    size: Whole = setting(ViewerRequest.size, "Side of a cutout, in pixels.", ge=1, le=MOST_PIXELS)
    pixscale: Number | None = setting(None, "Arcseconds per pixel; null for the layer's own.", gt=0)
    bands: str | None = setting(None, "Filters, such as grz; null for the layer's own.", min_length=1)
    subimage: Switch = setting(
        False, "FITS cutouts on the coadds' own pixels, with inverse variances, instead of resampled ones."
    )
    address: str = setting(VIEWER, "Of the viewer.", pattern="^https?://[^@]+[^/]$")


@section
class Settings:
    """The DESI Legacy Imaging Surveys' images, cut out of the bricks."""

    enabled: Switch = setting(False, "Whether to harvest the Legacy Surveys.")
    release: str = setting("dr10", "A key of config/releases.yaml, of a release of the Legacy Surveys.")
    archive: str = setting(
        "https",
        "Where the release is read from: https or local (the roots in config/releases.yaml), or the path or "
        "URL of a mirror, the directory that holds dr10/.",
        min_length=1,
        outcome=False,
    )
    transfer: Literal["rows", "files"] = setting(
        "rows",
        "rows reads only the tiles of the images that are needed; files downloads whole images, checks them, "
        "and keeps none.",
        outcome=False,
    )
    size: Whole = setting(160, "Side of a cutout, in pixels of 0.262 arcseconds.", ge=1, le=3600)
    bands: Annotated[list[Band], Distinct(min_length=1)] = setting(
        ["g", "r", "i", "z"], "Filters; every cutout has all of them, empty where a brick has no images."
    )
    products: Annotated[list[Product], Distinct(min_length=1)] = setting(
        ["image", "invvar", "maskbits"], "What to cut out."
    )
    aperture_radii_arcsec: Annotated[list[Radius], Distinct(min_length=1)] = setting(
        [1.0, 1.5, 3.5, 7.0], "Radii of the circles, in arcseconds, that fluxes and magnitudes are measured in."
    )
    contact_sheets: Switch = setting(True, "Whether to draw a picture of all cutouts of each NSIDE=16 pixel.")
    forbidden_is_absent: Switch = forbidden_is_absent()
    read_again: Again = setting(
        ["unreadable"],
        "Bricks that every run tries once more, by what an earlier one found of their files: unreadable "
        "(there, but malformed on two readings), absent (said not to exist). An empty list takes what was "
        "found as final.",
        outcome=False,
    )
    viewer: Viewer = subsection(Viewer)


def problems(given: Given, registry: dict[str, Any]) -> Iterator[Problem]:
    """Yield bands that the release does not have, and what the viewer cannot be asked for."""
    release, bands = given("release"), given("bands")
    if given("enabled") and release in registry and bands:
        has = registry[release].get("bands", bands)
        for band in bands:
            if band not in has:
                yield "bands", f"found {band!r}; release {release} has {', '.join(has)}"
    viewer = given("viewer")
    if viewer and (viewer["layers"] or viewer["psf_layers"]):
        for key, problem in wanted_of(viewer).problems():
            yield f"viewer.{key}", problem


def wanted_of(viewer: dict[str, Any]) -> ViewerRequest:
    """Return what to ask the viewer for, from its settings by name."""
    lists: dict[str, Any] = {key: tuple(viewer[key]) for key in ("layers", "psf_layers", "formats")}
    return ViewerRequest(**lists, **{key: viewer[key] for key in ("size", "pixscale", "bands", "subimage")})

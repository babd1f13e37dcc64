"""DESI's settings, and what may be wrong between them."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from skyharvest.core.settings import Distinct, Limited, Number, Switch, leaves, section, setting, subsection
from skyharvest.harvest.settings import Again, Given, Problem, forbidden_is_absent
from skyharvest.surveys.desi.globus.collection import path_problem
from skyharvest.surveys.desi.release import GLOBUS

SurveyName = Annotated[
    str, Limited("A survey, such as main, sv1, sv3 or special; lower-case letters and digits.", pattern="^[a-z0-9]+$")
]
Program = Annotated[
    str,
    Limited("A program, such as dark, bright, backup or other; lower-case letters and digits.", pattern="^[a-z0-9]+$"),
]
UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


@section
class Globus:
    """Where Globus copies the planned coadds to; with archive: globus, and only then, needed."""

    endpoint: str | None = setting(
        None, "UUID of the Globus collection that the coadds are copied to, such as this machine's.", pattern=UUID
    )
    path: str | None = setting(
        None, "Absolute path, on that collection, of the directory that is to hold spectro/.", min_length=1
    )
    local: str | None = setting(
        None,
        "The same directory as this machine sees it; absolute, or relative to the working directory.",
        min_length=1,
        path=True,
    )
    source_endpoint: str | None = setting(
        None,
        "UUID of the Globus collection that the coadds are copied from; null for the release's public one (in "
        "config/releases.yaml).",
        pattern=UUID,
    )
    source_path: str | None = setting(
        None,
        "Absolute path, on the collection that the coadds are copied from, of the directory that holds "
        "spectro/; null for the release's.",
        min_length=1,
    )


@section
class Spectra:
    """What is kept of each spectrum in the per-healpix files."""

    combine: Switch = setting(
        True, "One spectrum from the three arms, inverse-variance weighted, on 7,781 pixels of 0.8 Å."
    )
    lsf: Switch = setting(
        True, "Width of the line-spread function (Gaussian sigma, in pixels) per spectrum and wavelength."
    )
    arms: Switch = setting(False, "The native arms b, r and z as well.")
    redshifts: Switch = setting(True, "Redshift, class and quality from the redrock file.")


@section
class Settings:
    """The DESI survey's spectra."""

    enabled: Switch = setting(True, "Whether to harvest DESI.")
    release: str = setting(
        "dr1",
        "A key of config/releases.yaml, of a release of DESI; or, with an archive that is a directory, the name of a "
        "production in its spectro/redux/.",
    )
    archive: str = setting(
        "https",
        "Where the release is read from: https, s3 or local (the roots in config/releases.yaml), globus "
        "(copied to the directory desi.globus.local first), or the path or URL of a mirror, the directory "
        "that holds spectro/.",
        min_length=1,
        outcome=False,
    )
    transfer: Literal["rows", "files"] = setting(
        "rows",
        "rows reads only the rows that match; files downloads whole coadds, reads them, and keeps none. The "
        "results are the same.",
        outcome=False,
    )
    globus: Globus = subsection(Globus, outcome=False)
    surveys: Annotated[list[SurveyName], Distinct(min_length=1)] | None = setting(
        None, "Surveys of the release to search; null: main, or all of a release without it."
    )
    programs: Annotated[list[Program], Distinct(min_length=1)] | None = setting(
        None,
        "Programs of these surveys to search; null: those of dark, bright and backup that the release has, or all of a "
        "release without them.",
    )
    targetid_radius_arcsec: Number = setting(
        10.0,
        "With targets.targetid: the TARGETID is looked for in all pixels within this distance of the position, in "
        "arcseconds, as that may lie on the other side of an edge.",
        gt=0,
        le=600,
    )
    forbidden_is_absent: Switch = forbidden_is_absent()
    read_again: Again = setting(
        ["unreadable"],
        "Coadds that every run tries once more, by what an earlier one found: unreadable (there, but "
        "malformed on two readings), absent (said not to exist, as their redrock files may be). An empty list "
        "takes what was found as final.",
        outcome=False,
    )
    sky_fibers: Switch = setting(
        False,
        "Whether spectra of sky fibers are kept. Without it, a row of the CSV with no other fiber within the radius is "
        "no_spectrum, as one whose fibers have no data.",
    )
    spectra: Spectra = subsection(Spectra)


def problems(given: Given, registry: dict[str, Any]) -> Iterator[Problem]:
    """Yield what a copy by Globus lacks."""
    globus = given("globus")
    if given("archive") != GLOBUS or not globus:
        return
    release = given("release")
    asked_for = ["endpoint", "path", "local"]
    if (release in registry and "globus" not in registry[release]) or any(
        given(f"globus.{key}") for key in ("source_endpoint", "source_path")
    ):
        asked_for += ["source_endpoint", "source_path"]
    for key, about in leaves(Globus):
        value = given(f"globus.{key}")
        if globus[key] is None and key in asked_for:
            yield f"globus.{key}", f"missing; archive: globus needs it. Expected: {about.meaning}"
        elif value is not None and key in ("path", "source_path") and (problem := path_problem(value)):
            yield f"globus.{key}", problem

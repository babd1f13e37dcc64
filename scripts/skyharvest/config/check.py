"""What no schema can say of a configuration: how its keys go together, and whether what they name is there.

Snakemake imports this module whenever it parses the workflow: it stays light.
"""

import difflib
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skyharvest.core.errors import InputError
from skyharvest.core.paths import expand_user
from skyharvest.harvest.releases import REGISTRY, TRANSPORTS, ArchivedRelease, load_registry, survey_of, wrong_survey
from skyharvest.sky.spectral_lines import rest_wave
from skyharvest.surveys.desi.globus.collection import path_problem
from skyharvest.surveys.desi.release import GLOBUS, Release
from skyharvest.surveys.hetdex.mask_bits import mask_bits
from skyharvest.surveys.hetdex.release import Release as HetdexRelease
from skyharvest.surveys.legacysurvey.release import Release as LegacyRelease
from skyharvest.surveys.legacysurvey.viewer.layers import ViewerRequest

FROM_CATALOGUE = "catalogue"
"""What ``hetdex: detections: detectids`` says for those of the sources that the catalogue has."""

Problem = tuple[str, str]
"""Dotted key, and what is wrong with it."""


def cross_problems(config: dict[str, Any], bad: set[str], schema: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between keys, or beyond the schema's reach.

    Parameters
    ----------
    config
        With every key filled in.
    bad
        Dotted keys that are bad in themselves: they are left out.
    schema
        Describes the keys.
    """

    def get(key: str) -> Any:
        parts = key.split(".")
        if any(".".join(parts[:n]) in bad for n in range(1, len(parts) + 1)):
            return None
        return functools.reduce(operator.getitem, parts, config)

    radius, report = get("match.radius_arcsec"), get("match.report_radius_arcsec")
    if radius and report and report < radius:
        yield "match.report_radius_arcsec", f"found {report:g}; expected at least match.radius_arcsec, {radius:g}"
    if get("targets.ra") and get("targets.ra") == get("targets.dec"):
        yield "targets.dec", f"found {get('targets.dec')!r}, the same column as targets.ra"
    for key in ("targets.csv", "results", "desi.globus.local"):
        if "://" in (get(key) or ""):
            yield key, f"found {show(get(key))}; expected a path on this machine"
    registry = load_registry()
    for kind in (Release, HetdexRelease, LegacyRelease):
        yield from _release_problems(kind, get(f"{kind.survey}.release"), get(f"{kind.survey}.archive"), registry)
    if get("desi.archive") == GLOBUS and get("desi.globus"):
        given = {key: value for key, value in config["desi"]["globus"].items() if f"desi.globus.{key}" not in bad}
        release = get("desi.release")
        described = schema["properties"]["desi"]["properties"]["globus"]["properties"]
        yield from _globus_problems(given, described, public=release not in registry or "globus" in registry[release])
    yield from _hetdex_problems(get, bad)
    yield from _legacysurvey_problems(get, registry)


def _hetdex_problems(get: Callable[[str], Any], bad: set[str]) -> Iterator[Problem]:
    """Yield what is wrong with the settings of HETDEX."""
    for key in ("hetdex.exclude_bits", "hetdex.keep_bits", "hetdex.include_only_bits"):
        bits = get(key) or []
        for number, name in enumerate([bits] if isinstance(bits, str) else bits):
            if f"{key}.{number}" not in bad and (problem := _bit_problem(name)):
                yield key, problem
    if get("hetdex.maps.enabled"):
        yield from _maps_problems(*(get(f"hetdex.maps.{key}") for key in ("wavelength", "redshift", "line")))
    if get("hetdex.enabled") and get("hetdex.detections") and get("hetdex.catalogue"):
        detectids, pictures = get("hetdex.detections.detectids"), get("hetdex.detections.pictures")
        yield from _detections_problems(detectids, pictures, has_catalogue=bool(get("hetdex.catalogue.enabled")))


def _legacysurvey_problems(get: Callable[[str], Any], registry: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the settings of the Legacy Surveys."""
    release, bands = get("legacysurvey.release"), get("legacysurvey.bands")
    if get("legacysurvey.enabled") and release in registry and bands:
        has = registry[release].get("bands", bands)
        for band in bands:
            if band not in has:
                yield "legacysurvey.bands", f"found {band!r}; release {release} has {', '.join(has)}"
    viewer = get("legacysurvey.viewer")
    if viewer and (viewer["layers"] or viewer["psf_layers"]):
        wanted = ViewerRequest(
            layers=tuple(viewer["layers"]),
            psf_layers=tuple(viewer["psf_layers"]),
            formats=tuple(viewer["formats"]),
            size=viewer["size"],
            pixscale=viewer["pixscale"],
            bands=viewer["bands"],
            subimage=viewer["subimage"],
        )
        for key, problem in wanted.problems():
            yield f"legacysurvey.viewer.{key}", problem


def _maps_problems(wavelength: str | None, redshift: str | None, line: str | None) -> Iterator[Problem]:
    """Yield what is wrong with how the maps of HETDEX find their line."""
    if wavelength and redshift:
        yield "hetdex.maps.wavelength", "found both wavelength and redshift; expected one of them, the other null"
    if bool(redshift) != bool(line):
        key, other = ("line", "redshift") if redshift else ("redshift", "line")
        yield f"hetdex.maps.{key}", f"missing: hetdex.maps.{other} needs it, or set both to null"
    if line:
        try:
            rest_wave(line)
        except InputError as error:
            yield "hetdex.maps.line", str(error)


def _detections_problems(detectids: str | None, pictures: str | None, *, has_catalogue: bool) -> Iterator[Problem]:
    """Yield what is wrong with which raw detections of HETDEX are asked for."""
    key = "hetdex.detections.detectids"
    if detectids is None:
        if pictures:
            yield key, "missing: hetdex.detections.pictures needs it, or set that to null"
    elif detectids == FROM_CATALOGUE:
        if not has_catalogue:
            yield key, f"found {detectids!r}, but hetdex.catalogue.enabled is false: set it to true, or give a file"
    elif not expand_user(detectids).is_file():
        yield key, f"found {show(detectids)}; expected {FROM_CATALOGUE}, or a file that is there (from {Path.cwd()})"


def _release_problems(
    kind: type[ArchivedRelease], release: str | None, archive: str | None, registry: dict[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong with a survey's release and archive, which are None where they are bad in themselves."""
    survey = kind.survey
    names = [name for name, entry in registry.items() if survey_of(entry) == survey]
    if release and release not in registry:
        of_specprod = [name for name in names if registry[name].get("specprod") == release]
        near = f"; did you mean {of_specprod[0]!r}?" if of_specprod else _suggest(release, names)
        yield f"{survey}.release", f"found {show(release)}{near}; config/{REGISTRY.name} has: {', '.join(names)}"
    elif release and release not in names:
        yield f"{survey}.release", f"found {show(release)}, {wrong_survey(release, registry, survey)}"
    elif release and archive in TRANSPORTS and archive in kind.ways and archive not in registry[release]["roots"]:
        roots = ", ".join(registry[release]["roots"]) or "none"
        yield (
            f"{survey}.archive",
            f"found {archive!r}, which release {release!r} does not have (in config/{REGISTRY.name}: {roots}); "
            f"give the path or URL of a mirror, the directory that holds {kind.holds}",
        )
    if archive and (problem := _archive_problem(archive, kind.ways)):
        yield f"{survey}.archive", problem


def _bit_problem(name: str) -> str | None:
    try:
        mask_bits(name)
    except InputError as error:
        return str(error)
    return None


def _globus_problems(given: dict[str, Any], described: dict[str, Any], *, public: bool) -> Iterator[Problem]:
    """Yield what a copy by Globus lacks.

    Parameters
    ----------
    given
        The keys of desi.globus that are good in themselves.
    described
        What the schema says of all of them.
    public
        Whether the release has a collection of its own, so that the source need not be named.
    """
    source = ("source_endpoint", "source_path")
    asked_for = ["endpoint", "path", "local"]
    if not public or any(given.get(key) for key in source):
        asked_for += source
    for key, value in given.items():
        if value is None and key in asked_for:
            yield f"desi.globus.{key}", f"missing; archive: globus needs it. Expected: {described[key]['description']}"
        elif value is not None and key in ("path", "source_path") and (problem := path_problem(value)):
            yield f"desi.globus.{key}", problem


def _archive_problem(archive: str, ways: Sequence[str]) -> str | None:
    """Return what is wrong with where a release is to be read from, whichever release it is.

    Parameters
    ----------
    archive
        The setting.
    ways
        What it may say besides a path or URL.
    """
    if "://" in archive:
        return _url_problem(archive, ways)
    if archive in ways or expand_user(archive).is_dir():
        return None
    if "/" in archive:
        return f"found {archive!r}, but there is no such directory (the working directory is {Path.cwd()})"
    return (
        f"found {archive!r}{_suggest(archive, list(ways))}; expected {_either(ways)}, or the path or URL of a mirror "
        "(and there is no directory of that name here)"
    )


def _url_problem(url: str, ways: Sequence[str]) -> str | None:
    """Return what is wrong with a mirror's address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises where it is not a number
    except ValueError as error:
        return f"found {show(url)}, which is not a valid URL: {error}"
    if "@" in parts.netloc:
        return f"found {show(url)}: no user names or passwords in a configuration, which ends up in logs and results"
    if parts.scheme not in ("http", "https") or not host:
        return (
            f"found {show(url)}; expected {_either(ways)}, a path, or an address that begins with https:// or http://"
        )
    if parts.query or parts.fragment:
        return f"found {show(url)}; expected an address without ? and #, to which paths can be added"
    return None


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _suggest(word: str, valid: list[str]) -> str:
    found = difflib.get_close_matches(word.lower(), valid, n=1, cutoff=0.7)  # dr2 is no misspelt edr
    return f"; did you mean {found[0]!r}?" if found else ""


def show(value: Any) -> str:
    """Return a value for a message, without the user name and password of a URL."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    scheme, colon, rest = text.partition("://")
    if colon and "@" in rest:
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return text


def dotted(prefix: str, key: object) -> str:
    """Return the name of a key below another."""
    return f"{prefix}.{key}" if prefix else str(key)

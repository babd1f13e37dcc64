"""Continuum sources in fibers whose sources are known: found once, where they are, with their light."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import astropy.units as u
import h5py
import numpy as np
import pytest
import tables
from astropy.coordinates import SkyCoord

import hetdex_sources as known
from skyharvest.reduction.hetdex.settings import NEEDED, problems
from skyharvest.reduction.hetdex.source_settings import Continuum
from skyharvest.reduction.hetdex.sources import continuum
from skyharvest.reduction.hetdex.sources.continuum import SOURCES, extract_apart, find_continuum
from skyharvest.reduction.hetdex.sources.continuum_search import Found, find_sources, groups_of
from skyharvest.reduction.hetdex.sources.detection_file import read_rows
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers

Star = known.Star
SETTINGS = Continuum()


def off(found: Found, star: known.Star) -> float:
    """Arcsec between a source and a star."""
    return float(np.hypot(found.x - known.MIDDLE[0] - star.x, found.y - known.MIDDLE[1] - star.y))


def each_once(found: Sequence[Found], stars: Sequence[known.Star], within: float) -> list[int]:
    """Return the source that is each star; there are no others."""
    order = [int(np.argmin([off(one, star) for one in found])) for star in stars]
    assert sorted(order) == list(range(len(found)))
    assert max(off(found[k], star) for k, star in zip(order, stars, strict=True)) < within
    return order


def fibers_of(flux_scale: Sequence[float] = (1, 1, 1), images: float = 1.8, **how: Any) -> IfuFibers:
    """Fibers whose exposures have other norms and images than they are said to have."""
    made = known.ifu_fibers(**how)
    scale = np.array(flux_scale, np.float32)[made.expnum - 1][:, None]
    more = {name: values * scale if "counts" in name else values for name, values in made.more.items()}
    return replace(made, flux=made.flux * scale, more=more, fwhm=np.full(len(made), images))


@pytest.mark.parametrize(("ra", "dec"), [(0.0005, 0.0), (208.9, 51.0), (359.9995, 80.0)])
def test_groups_are_by_true_separation(ra: float, dec: float) -> None:
    random = np.random.default_rng(1)
    centre = SkyCoord(ra * u.deg, dec * u.deg)
    at = centre.directional_offset_by(random.uniform(0, 360, 60) * u.deg, random.uniform(0, 40, 60) * u.arcsec)
    near = at[:, None].separation(at).arcsec <= 6.5
    reached = near.copy()
    for _ in range(len(at)):
        reached |= (reached.astype(int) @ near.astype(int)) > 0
    label = groups_of(at.ra.deg, at.dec.deg, 6.5)
    assert ((label[:, None] == label) == reached).all()
    assert 1 < label.max() + 1 < 30
    east = centre.directional_offset_by(90 * u.deg, [0, 6.4, 13.1] * u.arcsec)  # cos dec, on the right side of the root
    assert groups_of(east.ra.deg, east.dec.deg, 6.5).tolist() == [0, 0, 1]


def test_stars_are_found_once_with_their_light() -> None:
    stars = [
        *(Star(-15, -12, 300.0), Star(-12, -8, 25.0)),  # 5 arcsec apart, 12 times as bright
        *(Star(10, 5, 40.0), Star(12.2, 5.4, 12.0)),  # 2.2 arcsec apart
        *(Star(4, -14, 60.0, depth=0.5), Star(-18, 15, 4.0), Star(-20.5, 0, 100.0)),
    ]
    fibers = known.ifu_fibers([*stars, Star(18, -15, 0.5)])  # the last is too faint
    found = find_sources(fibers, SETTINGS)
    order = each_once(found, stars, 0.08)
    spectra = extract_apart(fibers, found, SETTINGS.aperture)
    ratio = [np.nanmedian(spectra[k].flux / star.spectrum()) for k, star in zip(order, stars, strict=True)]
    np.testing.assert_allclose(ratio, 1, atol=0.02)
    assert [found[k].group_sources for k in order[:5]] == [2, 2, 2, 2, 1]
    assert max(one.chi2 for one in found) < 2
    alone = find_sources(fibers, replace(SETTINGS, one_each=True))
    assert len(alone) == len({one.group for one in found}) == 5


def test_light_of_neighbours_is_not_counted() -> None:
    stars = [Star(0, 0, 300.0), Star(4.3, 0, 25.0)]
    fibers = known.ifu_fibers(stars)
    found = find_sources(fibers, SETTINGS)
    faint = each_once(found, stars, 0.1)[1]
    alone = extract_apart(fibers, [found[faint]], SETTINGS.aperture)[0]
    apart = extract_apart(fibers, found, SETTINGS.aperture)[faint]
    spectrum = stars[1].spectrum()
    assert np.nanmedian(alone.flux / spectrum) > 1.05  # or the test shows nothing
    assert abs(np.nanmedian(apart.flux / spectrum) - 1) < 0.02


@pytest.mark.parametrize(("fwhm", "level", "within"), [(4.0, 300.0, 0.1), (12.0, 1000.0, 1.5), (40.0, 9000.0, 2.5)])
def test_galaxy_is_one_source_although_exposures_differ(fwhm: float, level: float, within: float) -> None:
    galaxy = Star(0.3, 0.4, level)
    fibers = fibers_of((1.0, 1.02, 0.98), sources=[galaxy], fwhm=(fwhm, fwhm, fwhm))
    found = find_sources(fibers, SETTINGS)
    assert len(found) == 1 and off(found[0], galaxy) < within
    assert found[0].chi2 > 50
    assert found[0].group_fibers > 50
    if fwhm < 6:
        assert abs(found[0].width - fwhm / 1.8) < 0.2


def test_galaxy_is_one_source_in_one_exposure() -> None:
    galaxy = Star(1.3, 0.7, 10000.0)  # its fibers have no neighbours of other exposures
    found = find_sources(fibers_of(sources=[galaxy], exposures=(1,), fwhm=(10.0,)), SETTINGS)
    assert len(found) == 1 and off(found[0], galaxy) < 1.5


def uneven(fibers: IfuFibers, scatter: float) -> IfuFibers:
    """Fibers whose throughput is not what it is taken for."""
    factor = 1 + scatter * np.random.default_rng(2).standard_normal((len(fibers), 1)).astype(np.float32)
    more = {name: values * factor if "counts" in name else values for name, values in fibers.more.items()}
    return replace(fibers, flux=fibers.flux * factor, more=more)


def test_uneven_fibers_do_not_make_a_galaxy_many() -> None:
    galaxy = Star(1.3, 0.7, 100000.0)
    found = find_sources(uneven(fibers_of(sources=[galaxy], fwhm=(40.0, 40.0, 40.0)), 0.1), SETTINGS)
    assert len(found) == 1


def test_wings_of_a_star_are_no_sources_where_fibers_nearer_to_it_are_dead() -> None:
    star = Star(1.3, 0.7, 100000.0)
    halo = known.ifu_fibers([replace(star, level=10000.0)], fwhm=(4.0, 4.0, 4.0), seed=None)  # not in the model
    fibers = known.ifu_fibers([star])
    more = dict(fibers.more) | {"calfib_counts": fibers.more["calfib_counts"] + halo.more["calfib_counts"]}
    fibers = uneven(replace(fibers, flux=fibers.flux + halo.flux, more=more), 0.02)
    distance = np.hypot(fibers.x - known.MIDDLE[0] - star.x, fibers.y - known.MIDDLE[1] - star.y)
    for values in (fibers.flux, fibers.error, fibers.more["calfib_counts"]):
        values[(distance > 2.5) & (distance < 5.5)] = np.nan
    each_once(find_sources(fibers, SETTINGS), [star], 0.1)


def test_star_beyond_the_edge_is_placed_by_what_fibers_have_of_it() -> None:
    star = Star(26.9, 0.3, 100.0)  # the last fiber is at 26.0
    fibers = known.ifu_fibers([star])
    found = find_sources(fibers, SETTINGS)
    each_once(found, [star], 0.1)
    spectrum = extract_apart(fibers, found, SETTINGS.aperture)[0]
    assert abs(np.nanmedian(spectrum.flux / star.spectrum()) - 1) < 0.03
    assert np.nanmedian(spectrum.coverage) < 0.3


def test_dead_amplifier_beside_a_star_makes_no_other_source() -> None:
    star = Star(0, 1.0, 500.0)  # at the edge of two amplifiers
    missing = [(expnum, "LU") for expnum in (1, 2, 3)]
    found = find_sources(known.ifu_fibers([star], missing=missing), SETTINGS)
    each_once(found, [star], 0.05)


def test_noise_cosmic_rays_and_lines_are_no_sources() -> None:
    fibers = known.ifu_fibers([known.Line(3, 3, 5200.0, 3000.0)], error=1.5)
    fibers.more["calfib_counts"][100, 830] = 1e5
    assert not find_sources(fibers, SETTINGS)


def test_lit_fibers_without_light_of_their_own_are_no_source() -> None:
    fibers = known.ifu_fibers()
    lit = np.hypot(fibers.x - known.MIDDLE[0], fibers.y - known.MIDDLE[1]) < 3
    fibers.more["calfib_counts"][lit] = 1000.0
    fibers.flux[lit] = -1.0  # as where too much was taken off for a star beside them
    assert find_sources(fibers, SETTINGS) == []


def test_nothing_is_found_in_no_fibers() -> None:
    fibers = known.ifu_fibers(missing=[(e, amp) for e in (1, 2, 3) for amp in known.AMPS])
    assert len(fibers) == 0
    assert find_sources(fibers, SETTINGS) == []
    blind = known.ifu_fibers([Star(0, 0, 100.0)])
    for values in (blind.flux, blind.error, *blind.more.values()):
        values[:] = np.nan
    assert find_sources(blind, SETTINGS) == []


def shot_of(ifus: dict[str, IfuFibers], failed: str = "") -> Any:
    """A shot of such IFUs."""
    return SimpleNamespace(name="20190103v017", failed=failed, ifus=sorted(ifus), read=lambda ifu, more: ifus[ifu])


def test_file_of_a_shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    stars = [Star(-15, -12, 20.0), Star(10, 5, 100.0), Star(-14, 14, 10.0)]
    fibers = known.ifu_fibers(stars)
    other = replace(fibers, ifu=fibers.ifu._replace(ifuslot="015"))
    path = tmp_path / "20190103v017.h5"
    monkeypatch.setattr(continuum, "MOST_CONTINUUM", 2)
    find_continuum(shot_of({str(one.ifu): one for one in (fibers, other)}), path, SETTINGS)
    assert "3 sources; the brightest 2 are kept" in caplog.text
    rows, attributes = read_rows(path)
    first = 20190103017 * 100_000 + 600
    assert rows.detections["detectid"].tolist() == [first + slot * 900 + k for slot in (15, 106) for k in (0, 1)]
    assert [attributes[name] for name in ("shot", "failed", "n_sources", "n_left_out")] == ["20190103v017", "", 4, 2]
    np.testing.assert_allclose(rows.detections["continuum"], [100 * 4500 / 5200, 20 * 4500 / 5200] * 2, rtol=0.02)
    np.testing.assert_allclose(
        rows.detections["sn"], rows.detections["continuum"] / rows.detections["continuum_err"], rtol=1e-5
    )
    assert np.isnan(rows.detections["wave"]).all()
    ra, dec = fibers.pointing.to_sky(np.array([10.0, -15]) + known.MIDDLE[0], np.array([5.0, -12]) + known.MIDDLE[1])
    where, there = SkyCoord(ra * u.deg, dec * u.deg), rows.detections[:2]
    assert where.separation(SkyCoord(there["ra"] * u.deg, there["dec"] * u.deg)).arcsec.max() < 0.1
    with tables.open_file(str(path)) as file:
        one = file.root.Detections.read_where(f"detectid == {first + 15 * 900}")
        used = file.root.Fibers.read_where(f"detectid == {first + 15 * 900}")
        told = file.root.Sources.read()
    best = used[np.argmax(used["weight"])]
    assert one["fiber_id"][0] == best["fiber_id"] and best["distance"] < 1
    assert abs(used["weight"].sum() - 1) < 1e-5 and used["distance"].max() <= 3.5
    assert told.dtype == SOURCES and told["window"].tolist() == [b"red"] * 4
    again = tmp_path / "again.h5"
    beyond = replace(fibers, ifu=fibers.ifu._replace(ifuslot="111"))
    find_continuum(shot_of({str(one.ifu): one for one in (other, beyond)}), again, SETTINGS)
    assert "found ifuslot '111'" in caplog.text
    with h5py.File(again) as file:  # numbers do not depend on other IFUs
        assert file["Detections"]["detectid"].tolist() == rows.detections["detectid"][:2].tolist()


def test_a_window_that_is_turned_round_is_told() -> None:
    given = {"enabled": True, "continuum": {"blue": [3900.0, 3700.0], "red": [5100.0, 5300.0]}}
    told = dict(problems(given | dict.fromkeys(NEEDED, "there")))
    assert told == {"continuum.blue": "found 3900, 3700; expected the smaller wavelength first"}


def test_shot_that_failed_has_a_file_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "20190103v017.h5"
    find_continuum(shot_of({}, "no stars"), path, SETTINGS)
    rows, attributes = read_rows(path)
    assert len(rows) == 0 and attributes["failed"] == "no stars"

"""Which of the fibers around a position a CSV row gets, what becomes of it, and which spectrum is primary."""

import csv

import h5py
import numpy as np
import pytest

from skyharvest.harvest.ledger import account
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.spectra import has_data, is_farther, primary
from small_release import ARCSEC, ARMS, arms_of, harvest, inside, simulated, write, write_list

PIX, PIX16 = 27258, 27258 >> 4
PLACES = [inside(PIX, number) for number in range(0, 40, 4)]


def north(number, arcsec):
    """Return a position so far north of one of the places, which are minutes apart."""
    ra, dec = PLACES[number]
    return ra, dec + arcsec * ARCSEC


def run(folder, coadds, places, **how):
    """Harvest; return the ledger and the assembled pixel."""
    for coadd in coadds:
        write(folder / "archive", coadd)
    write_list(folder / "archive", [("main", coadd.program, PIX) for coadd in coadds])
    with (folder / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["RA_DESI", "DEC_DESI"], *places])
    results = folder / "results"
    harvest(folder / "archive", folder / "t.csv", results, **how)
    ledger = account(
        targets=results / "targets" / "targets.parquet",
        rejected=results / "targets" / "rejected.csv",
        plan_targets=results / "desi" / "plan_targets.npy",
        extracted=results / "desi" / "extracted",
        crossmatches=results / "desi_crossmatches",
        name="chandra",
        survey=DESI,
        config_hash="abc",
    )
    with h5py.File(DESI.crossmatch(results / "desi_crossmatches", PIX16)) as file:
        names = ("targetid", "primary", "separation_arcsec", "zwarn", "objtype", "spectrum_flux")
        found = {"row": file["chandra/row"][:], **{name: file[f"desi/{name}"][:] for name in names}}
    return ledger, found


def coadd_of(fibers, program="dark", **how):
    """Observe fibers: (TARGETID, place, ZWARN); deeper from one to the next."""
    ids, places, zwarn = zip(*fibers, strict=True)
    at = tuple(np.array(angles) for angles in zip(*places, strict=True))
    coadd = simulated(len(ids), program, PIX, at=at, targetid=ids, zwarn=list(zwarn), **how)
    depth = {targetid: 10.0 * (k + 1) for k, targetid in enumerate(ids)}
    coadd.scores["TSNR2_LRG"] = [depth[targetid] for targetid in coadd.sources.targetid.tolist()]
    return set_zwarn(coadd, dict(zip(ids, zwarn, strict=True)))


def set_zwarn(coadd, zwarn):
    coadd.redshifts["ZWARN"] = [zwarn[targetid] for targetid in coadd.redshifts["TARGETID"].tolist()]
    return coadd


# --- The nearest object ----------------------------------------------------------------------------------------------

NEAR = {
    # The quasar at 0.65" has a warning and less depth than the fiber at 4.6".
    "another object": ([(1, 0.65, 4), (2, 4.6, 0)], 1),
    "a third one": ([(1, 0.65, 4), (2, -1.2, 0), (3, 4.6, 0)], 1),
    # Fibers at one place are one object: DESI's rule.
    "two targets at one place": ([(1, 0.3, 4), (2, 0.5, 0)], 2),
    "the deeper of two": ([(1, 0.3, 0), (2, 0.5, 0)], 2),
    "at one place, and another": ([(1, 0.3, 4), (2, 0.75, 0), (3, 1.0, 0)], 2),
    "on both sides of the position": ([(1, 0.2, 4), (2, -0.4, 0)], 1),
    # Redrock had no data for the nearest.
    "none from redrock": ([(1, 0.65, 516), (2, 4.6, 4)], 2),
    "none from redrock at one place": ([(1, 0.4, 4), (2, 0.5, 512)], 1),
    "nothing but none from redrock": ([(1, 0.65, 512), (2, 4.6, 516)], 1),
}


@pytest.fixture(scope="module")
def around(tmp_path_factory):
    """A run in which each CSV row has fibers of one of the cases around it."""
    fibers = [
        (10 * k + targetid, north(k, arcsec), zwarn)
        for k, (case, _) in enumerate(NEAR.values())
        for targetid, arcsec, zwarn in case
    ]
    places = [north(k, 0) for k in range(len(NEAR))]
    how = {"programs": ["dark"], "radius_arcsec": 5.0, "report_radius_arcsec": 5.0}
    return run(tmp_path_factory.mktemp("near"), [coadd_of(fibers)], places, **how)[1]


@pytest.mark.parametrize("case", NEAR)
def test_primary_is_the_best_spectrum_of_the_nearest_object(around, case):
    k, (fibers, best) = list(NEAR).index(case), NEAR[case]
    of_row = around["row"] == k
    assert sorted(around["targetid"][of_row] - 10 * k) == sorted(targetid for targetid, *_ in fibers)
    assert (around["targetid"][of_row & around["primary"]] - 10 * k).tolist() == [best]


def test_the_nearest_object_by_all_pairs():
    rng = np.random.default_rng(3)
    n = 400
    groups = rng.integers(0, 60, n)
    x, y = rng.uniform(-1.5, 1.5, (2, n))  # arcsec from the position of the group
    ra, dec = groups + x * ARCSEC / np.cos(np.radians(20)), 20 + y * ARCSEC
    targetid, but = rng.integers(0, 9, n), rng.random(n) < 0.2
    separation = np.hypot(x, y)
    found = is_farther(groups, separation, ra, dec, targetid, but=but)
    for i in range(n):
        of_group = np.flatnonzero(groups == groups[i])
        first = min(of_group, key=lambda k: (but[k], separation[k]))
        apart = np.hypot(x[i] - x[first], y[i] - y[first])
        assert abs(apart - 0.5) > 1e-5, "the case is too near to the limit to tell"
        assert found[i] == (apart > 0.5 and targetid[i] != targetid[first])


def test_minus_one_is_not_redrocks_word_for_no_data():
    """Every bit of -1 is set."""
    assert primary(np.zeros(2), np.array([512, -1]), np.array([9.0, 1.0])).tolist() == [False, True]
    assert primary(np.zeros(2), np.array([512, -1]), None, never=np.array([False, True])).tolist() == [True, False]
    assert not primary(np.zeros(2), None, None, never=np.ones(2, bool)).any()


# --- Fibers without data, and of sky ---------------------------------------------------------------------------------

# TARGETID, place and north of it in arcsec, OBJTYPE, ZWARN
FIBERS = [
    (1, 0, 0.2, "TGT", 0),
    (2, 1, 0.3, "BAD", 516),  # a stuck positioner: every pixel is masked
    (3, 2, 0.3, "SKY", 4),
    (4, 3, 0.3, "TGT", 512),  # ivar 0 everywhere
    (5, 4, 0.1, "BAD", 516),  # ditto masked, with
    (6, 4, 0.8, "TGT", 4),  # a good one
    (7, 5, 0.3, "BAD", 4),  # has one good pixel: data decide
    (8, 6, 0.1, "SKY", 0),  # and an object
    (9, 6, 0.8, "TGT", 4),
    (10, 7, 0.3, "TGT", 516),  # has data, whatever redrock says
    (11, 8, 0.2, "SKY", 0),  # and a fiber without data
    (12, 8, 0.3, "TGT", 516),
]
EXPECTED = {  # kept, and the primary one, with sky_fibers: false
    **{0: ([1], 1), 1: ([], None), 2: ([], None), 3: ([], None), 4: ([6], 6)},
    **{5: ([7], 7), 6: ([9], 9), 7: ([10], 10), 8: ([], None), 9: (None, None)},
}
WITH_SKY = EXPECTED | {2: ([3], None), 6: ([8, 9], 9), 8: ([11], None)}


def observed():
    coadd = coadd_of([(targetid, north(place, arcsec), zwarn) for targetid, place, arcsec, _, zwarn in FIBERS])
    order = {targetid: k for k, targetid in enumerate(coadd.sources.targetid.tolist())}
    for targetid, _, _, objtype, _ in FIBERS:
        coadd.fibermap["OBJTYPE"][order[targetid]] = objtype
    for arm in ARMS:
        for targetid in (2, 5, 7, 12):
            coadd.mask[arm][order[targetid]] |= 512
        coadd.ivar[arm][order[4]] = 0
    coadd.mask["r"][order[7], 99], coadd.ivar["r"][order[7], 99] = 0, 1
    return coadd, order


@pytest.mark.parametrize("sky_fibers", [False, True])
def test_fibers_without_data_or_of_sky_make_no_match(tmp_path, sky_fibers):
    expected = WITH_SKY if sky_fibers else EXPECTED
    coadd, order = observed()
    ledger, found = run(tmp_path, [coadd], [north(k, 0) for k in range(10)], programs=["dark"], sky_fibers=sky_fibers)
    for row, (kept, best) in expected.items():
        of_row = found["row"] == row
        assert sorted(found["targetid"][of_row].tolist()) == (kept or []), row
        assert found["targetid"][of_row & found["primary"]].tolist() == ([best] if best else []), row
        status = "no_fiber" if kept is None else "matched" if kept else "no_spectrum"
        assert (ledger.status[row], ledger.n_spectra[row]) == (status, len(kept or [])), row
        near = [abs(arcsec) for _, place, arcsec, *_ in FIBERS if place == row]
        assert ledger.n_within[row] == len(near)
        np.testing.assert_allclose(ledger.nearest_arcsec[row], min(near, default=np.nan), atol=1e-6)
    with h5py.File(DESI.path(tmp_path / "results" / "desi" / "extracted", PIX)) as file:
        # What was read is there bit for bit, kept or not.
        assert sorted(file["targetid"][:].tolist()) == [targetid for targetid, *_ in FIBERS]
        at = [order[targetid] for targetid in file["targetid"][:].tolist()]
        for arm in ARMS:
            assert file[f"{arm}/flux"][:].tobytes() == coadd.flux[arm][at].tobytes()
            assert file[f"{arm}/mask"][:].tobytes() == coadd.mask[arm][at].tobytes()
        kept = {targetid for ids, _ in expected.values() for targetid in ids or []}
        assert set(file["targetid"][:][file["kept"][:]].tolist()) == kept


def test_a_pixel_is_good_where_it_has_ivar_and_no_mask():
    coadd = simulated(4)
    for arm in ARMS:
        coadd.ivar[arm][[0, 2]] = 0
        coadd.mask[arm][[1, 2]] = 1
        coadd.flux[arm][3] = 0
    coadd.mask["z"][0] = 1
    coadd.ivar["z"][0, 7], coadd.mask["z"][0, 8] = 1, 0  # neither pixel is good
    assert has_data(arms_of(coadd)).tolist() == [False, False, False, True]
    coadd.ivar["z"][0, 8] = 1
    assert has_data(arms_of(coadd)).tolist() == [True, False, False, True]

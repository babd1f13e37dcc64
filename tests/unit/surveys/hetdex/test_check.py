"""A check of HETDEX's archive: each difference is seen and named, and what is said of the run is so."""

import os
import shutil

import h5py
import numpy as np
import pytest
from numpy.lib import recfunctions

import small_catalogue
from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, VERDICTS
from skyharvest.surveys.hetdex.catalogue import find_version, match_catalogue
from skyharvest.surveys.hetdex.check import QUESTIONS, work
from skyharvest.surveys.hetdex.check import index as check_index
from skyharvest.surveys.hetdex.cube import SHAPE, Masking, read_cube
from skyharvest.surveys.hetdex.detections import fetch_detections
from skyharvest.surveys.hetdex.index import read_index
from skyharvest.surveys.hetdex.plan import make_plan
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.spectra import extract_spectra
from small_check import Case, ask, asking, check_case, one, own, set_card
from small_cubes import DEC, NAME, PLANES, RA, header_of, write_quickly
from small_detections import Made, write_h5
from small_index import listed, write_index

RELEASE = load_release("pdr1")
CUBE = RELEASE.cube(20190405020, "034")
TARGETS = {name: np.array([value]) for name, value in (("row", 0), ("ra", RA), ("dec", DEC), ("pix16", 0))}
SLOTS = ["034", "035", "036"]
ROWS = listed([20190405020] * 3, SLOTS, [RA, RA + 1, RA + 2], [DEC] * 3)
WANTED = {"release": "pdr1", "catalogue": {"enabled": True}, "detections": {"detectids": "catalogue"}}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release with one cube that a position is on, a catalogue and detections."""
    root = tmp_path_factory.mktemp("pdr1")
    write_index(root / RELEASE.index(), ROWS)
    rng = np.random.default_rng(5)
    plane = rng.normal(0, 0.3, SHAPE[1:]).astype("f4")
    flux, error = np.broadcast_to(plane, SHAPE).copy(), np.full(SHAPE, 0.3, "f4")
    flux[:, :8], error[:, :8] = np.nan, 0
    mask = np.zeros(SHAPE, "u2")
    mask[:, 50:60] = 4096
    (root / CUBE).parent.mkdir(parents=True)
    write_quickly(root / CUBE, flux, error, mask, PLANES)
    sources = small_catalogue.sources(50)
    small_catalogue.write_table(root / small_catalogue.TABLE, sources)
    small_catalogue.write_spectra(root / small_catalogue.SPECTRA, sources)
    Made(root, 20)
    return root


@pytest.fixture
def root(release, tmp_path):
    """A copy, to be spoilt: of links, which `own` replaces."""
    shutil.copytree(release, tmp_path / "pdr1", copy_function=os.link)
    return tmp_path / "pdr1"


def findings(root, **section):
    return ask(QUESTIONS, asking("hetdex", root, (RA, DEC), **WANTED | section))


# --- As it should be -------------------------------------------------------------------------------------------------


def test_a_release_as_it_is_described_gives_no_cause_for_concern(release):
    found = findings(release)
    assert {finding.verdict for finding in found} <= {AS_ASSUMED, NOTE}, found
    assert one(found, "cubes near the CSV's positions").seen == "1 cube in all 3 rows, for 1 position"
    assert "in use: PIXMASK" in one(found, "bits of the mask").seen
    assert one(found, "MASK outside the fibers").seen == "none in 832 spaxels without data"
    assert one(found, "good data in a cube").seen.startswith("90% of")
    assert {finding.verdict for finding in found} <= set(VERDICTS)


def test_what_is_not_wanted_is_not_asked(release):
    found = ask(QUESTIONS, asking("hetdex", release, (RA, DEC), release="pdr1"))
    assert not [finding for finding in found if "catalogue" in finding.question or "detect" in finding.question]


def test_over_the_network_a_little_of_each_file_is_read(release, monkeypatch):
    monkeypatch.setattr(check_index, "ROWS_BYTES", 250)
    monkeypatch.setattr(check_index, "PIECES", 2)
    with serve(release) as server:
        given = asking("hetdex", server.url, (RA, DEC), **WANTED)
        found = ask(QUESTIONS, given)
        whole = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
        assert server.sent < 0.25 * whole
    assert {finding.verdict for finding in found} <= {AS_ASSUMED, NOTE}, found
    assert "in 2 of 3 rows" in one(found, "cubes near the CSV's positions").seen
    planned = work(given)
    assert (planned.n_files, planned.moved) == (2, 2 * (release / CUBE).stat().st_size)


def test_a_mirror_of_some_cubes_is_asked_about_one_that_it_has(release):
    found = ask(QUESTIONS, asking("hetdex", release, [(RA + 1, DEC), (RA, DEC + 0.001)], release="pdr1"))
    paths = one(found, "cubes")
    assert (paths.verdict, paths.seen) == (NOTE, "1 absent, until one was there")
    assert one(found, "images of a cube").verdict == AS_ASSUMED


# --- Injected differences --------------------------------------------------------------------------------------------


def index_of(change):
    return lambda root: write_index(own(root / RELEASE.index()), change(ROWS.copy()))


def renamed(rows, **names):
    return recfunctions.rename_fields(rows, names)


def column(name, values):
    def change(rows):
        rows[name] = values
        return rows

    return index_of(change)


def index_raises(root):
    with pytest.raises(MalformedFile):
        read_index(root / RELEASE.index())


def index_is_read(root):
    assert len(read_index(root / RELEASE.index())) == 3


def plan_raises(root):
    with pytest.raises(InputError):
        make_plan(read_index(root / RELEASE.index()), TARGETS, fields=["dex-spring"])


def card(key, value, hdu="DATA", instead_of=""):
    return lambda root: set_card(own(root / CUBE), hdu, key, value, instead_of=instead_of)


def cube_raises(root):
    with pytest.raises(MalformedFile):
        read_cube(root / CUBE)


def spectrum(root, ra=RA, dec=DEC, **masking):
    cube = read_cube(root / CUBE, near=([ra], [dec]), reach_arcsec=4)
    return extract_spectra(cube, np.array([ra]), np.array([dec]), masking=Masking(**masking))


def cube_is_read(root):
    assert np.isfinite(spectrum(root).flux).all()


def no_spectrum(root):
    assert not np.isfinite(spectrum(root).flux).any()


def voxels(change):
    """Write another cube, not compressed: sparse, but for the planes that a check reads and some of the mask's."""

    def spoil(root):
        (root / CUBE).unlink()
        rng = np.random.default_rng(6)
        arrays = {
            "DATA": rng.normal(0, 0.3, SHAPE[1:]).astype("f4"),
            "ERROR": np.full(SHAPE[1:], 0.3, "f4"),
            "MASK": np.zeros(SHAPE[1:], "i2"),
        }
        change(arrays)
        with (root / CUBE).open("wb") as file:
            file.write(header_bytes([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0)]))
            for name, plane in arrays.items():
                bitpix = {"f4": -32, "i2": 16, "i4": 32}[plane.dtype.str[1:]]
                file.write(
                    header_bytes([("XTENSION", "IMAGE"), *axes(bitpix), ("EXTNAME", name), *header_of().items()])
                )
                start = file.tell()
                data = plane.astype(plane.dtype.newbyteorder(">")).tobytes()
                for k in range(0, SHAPE[0], 5):
                    file.seek(start + k * len(data))
                    file.write(data)
                file.truncate(start + -(-SHAPE[0] * len(data) // 2880) * 2880)
                file.seek(0, 2)

    return spoil


def axes(bitpix):
    sides = [(f"NAXIS{k}", length) for k, length in enumerate(reversed(SHAPE), 1)]
    return [("BITPIX", bitpix), ("NAXIS", 3), *sides, ("PCOUNT", 0), ("GCOUNT", 1)]


def header_bytes(cards):
    from astropy.io.fits import Header

    return Header(cards).tostring().encode()


def set_in(name, value, where=np.s_[:]):
    def change(arrays):
        arrays[name][where] = value

    return voxels(change)


def scaled(arrays):
    arrays["DATA"] *= 1e-17
    arrays["ERROR"] *= 1e-17


def of_floats(arrays):
    arrays["MASK"] = arrays["MASK"].astype("f4")


def moved(old, new):
    def spoil(root):
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return spoil


def version(*names):
    def spoil(root):
        for name in names:
            for of in (RELEASE.catalogue, RELEASE.catalogue_spectra):
                os.link(root / of("v1.5"), root / of(name))
        if "v1.5" not in names:
            return

    return spoil


def newest_is(name):
    def so(root):
        assert find_version(Archive(str(root)), RELEASE) == name

    return so


def without_ra(root):
    own(root / small_catalogue.TABLE)
    write_index(root / small_catalogue.TABLE, recfunctions.drop_fields(small_catalogue.sources(50), "RA"))


def catalogue_raises(root):
    targets = {"row": np.arange(1), "ra": np.zeros(1), "dec": np.zeros(1)}
    with pytest.raises((MalformedFile, InputError)):
        match_catalogue(Archive(str(root)), small_catalogue.TABLE, targets, 1.0)


def detect(name, change):
    """Write a database's tables anew."""

    def spoil(root):
        path = own(root / "detect" / name)
        with h5py.File(path) as file:
            tables = {key: file[key][:] for key in file}
        options = change(tables) or {}
        write_h5(path, tables, **options)

    return spoil


def shuffled(tables):
    tables["DetectIndex"] = np.random.default_rng(1).permutation(tables["DetectIndex"])


def of_kind(tables):
    tables["DetectIndex"]["det_type"] = b"agn"


def without_spectra(tables):
    tables["Spectra"] = tables["Spectra"][["detectid", "spec1d"]].copy()


def other_filter(root):
    """Say, as PyTables may, that chunks went through a filter that h5py does not have."""
    path = own(root / "detect/detect_hdr3.h5")
    with h5py.File(path) as file:
        tables = {key: file[key][:] for key in file}
    path.unlink()
    with h5py.File(path, "w") as file:
        for name, rows in tables.items():
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((len(rows),))
            plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2, 0, 0))
            kind = h5py.h5t.py_create(rows.dtype, logical=True)
            dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple((len(rows),)), plist)
            dataset.write_direct_chunk((0,), rows.tobytes(), filter_mask=0)


def status_of_first(status):
    def so(root):
        with h5py.File(root / "detect/detect_index_hdr5.h5") as file:
            first = int(file["DetectIndex"]["detectid"][0])
        outcome = fetch_detections(Archive(str(root)), RELEASE, [first], root / "out.hdf5")
        assert outcome[first].status == status

    return so


CASES = {
    "index: column missing": Case(
        index_of(lambda rows: recfunctions.drop_fields(rows, "flag")),
        "columns of the index",
        FAILS,
        ("column flag is missing", "nothing can be planned", "check.json", "HETDEX/dexcube/issues"),
        index_raises,
    ),
    "index: upper case": Case(
        index_of(lambda rows: renamed(rows, shotid="SHOTID", flag="FLAG")),
        "columns of the index",
        ADAPTED,
        ("SHOTID, ifuslot", "in any case"),
        index_is_read,
    ),
    "index: shotid is text": Case(
        index_of(lambda rows: rows.astype([(n, "S11" if n == "shotid" else rows.dtype[n]) for n in rows.dtype.names])),
        "columns of the index",
        FAILS,
        ("shotid holds", "expected a whole number"),
        index_raises,
    ),
    "index: no seeing": Case(
        index_of(lambda rows: recfunctions.drop_fields(rows, "fwhm_virus")),
        "other columns of the index",
        ADAPTED,
        ("no optimal spectra", "hetdex.optimal: null"),
        index_is_read,
        {"optimal": "moffat"},
    ),
    "index: a row of no place": Case(
        column("dec_cen", [DEC, -999, DEC]),
        "rows of the index",
        NOTE,
        ("1 of 3 name no cube and place",),
        lambda root: len(read_index(root / RELEASE.index())) == 2,
    ),
    "index: flags in percent": Case(
        column("flag", 100), "flags of the index", FAILS, ("100 to 100", "min_flag: null"), None, {"min_flag": 0.5}
    ),
    "index: no such field": Case(
        column("field", b"cosmos"),
        "cubes near the CSV's positions",
        FAILS,
        ("hetdex.fields: found dex-spring", "it has cosmos"),
        plan_raises,
        {"fields": ["dex-spring"]},
    ),
    "index: other places": Case(
        column("ra_cen", [10, 11, 12]), "cubes near the CSV's positions", NOTE, ("0 cubes", "nothing to harvest")
    ),
    "index: not there": Case(
        moved(RELEASE.index(), "index.fits"), "columns of the index", FAILS, ("no file", "hetdex.archive")
    ),
    "index: centres of other IFUs": Case(
        column("ra_cen", [RA + 0.005, RA + 1, RA + 2]), "centre of a cube", FAILS, ("11.0 arcsec away", "wrong places")
    ),
    "cube: elsewhere": Case(
        moved(CUBE, f"20190405020/{NAME}"),
        "cubes",
        FAILS,
        ("recorded as absent", "paths: cube: {shotid}/dex_cube_{shotid}_{ifuslot}.fits"),
    ),
    "cube: compressed": Case(moved(CUBE, f"{CUBE}.gz"), "cubes", FAILS, (".fits.gz is there", "unpack the files")),
    "cube: no ERROR": Case(
        card("EXTNAME", "SIGMA", "ERROR"),
        "images of a cube",
        FAILS,
        ("HDU ERROR is missing; found", "SIGMA"),
        cube_raises,
    ),
    "cube: other shape": Case(
        card("ZNAXIS3", 1037, "MASK"), "images of a cube", FAILS, ("[MASK]: has shape (1037, 104, 104)",), cube_raises
    ),
    "cube: other algorithm": Case(
        card("ZCMPTYPE", "PLIO_1", "MASK"), "images of a cube", FAILS, ("[MASK]: ZCMPTYPE is 'PLIO_1'",), cube_raises
    ),
    "cube: no scale": Case(
        card("TTYPE2", "SCALE"),
        "images of a cube",
        FAILS,
        ("[DATA]: floating-point", "without ZSCALE"),
        cube_raises,
    ),
    "cube: galactic": Case(
        card("CTYPE1", "GLON-TAN"), "images of a cube", FAILS, ("CTYPE1 and CTYPE2 are 'GLON-TAN'",), cube_raises
    ),
    "cube: B1950": Case(card("RADESYS", "FK4"), "sky of a cube", FAILS, ("FK4", "of other places")),
    "cube: J2000": Case(card("RADESYS", "FK5"), "sky of a cube", ADAPTED, ("FK5", "0.03 arcsec"), cube_is_read),
    "cube: larger spaxels": Case(
        card("CDELT1", -0.8 / 3600),
        "sky of a cube",
        FAILS,
        ("0.549 arcsec a spaxel", "edge would be missed"),
    ),
    "cube: metres": Case(
        lambda root: [card("CRVAL3", 3.47e-07)(root), card("CDELT3", 2e-10)(root)],
        "wavelengths of a cube",
        ADAPTED,
        ("CRVAL3 3.47e-07", "in m"),
        cube_is_read,
    ),
    "cube: other wavelengths": Case(
        card("CRVAL3", 3500.0), "wavelengths of a cube", FAILS, ("CRVAL3 3500.0", "recorded as unreadable"), cube_raises
    ),
    "cube: per Angstrom": Case(
        card("BUNIT", "1e-17 erg s-1 cm-2 AA-1"), "unit of flux", FAILS, ("AA-1", "a factor of 2")
    ),
    "cube: surface brightness": Case(
        card("BUNIT", "1e-17 erg s^-1 cm^-2 arcsec^-2"), "unit of flux", FAILS, ("arcsec^-2", "area of a spaxel")
    ),
    "cube: other power": Case(card("BUNIT", "1e-18 erg/s/cm2"), "unit of flux", FAILS, ("wrong by a factor of 1e1",)),
    "cube: bins of another width": Case(
        card("SPECBW", 1.0), "width of a bin", ADAPTED, ("1.0", "divided by this width"), cube_is_read
    ),
    "cube: values in erg": Case(
        voxels(scaled), "size of the values", FAILS, ("median error 3e-18", "not measured"), no_spectrum
    ),
    "cube: a fill value": Case(
        set_in("DATA", -999, np.s_[:10]), "voxels without data", FAILS, ("DATA is -999 in 10% of", "taken for light")
    ),
    "cube: a new bit, excluded": Case(
        set_in("MASK", 16384, np.s_[:10]),
        "bits of the mask",
        ADAPTED,
        ("16384 has no name", "count as bad", "keep_bits: [16384]"),
    ),
    "cube: a new bit, good": Case(
        set_in("MASK", 16384),
        "bits of the mask",
        NOTE,
        ("count as good", "exclude_bits: add 16384"),
        lambda root: no_spectrum_by(root, ["MAIN", "16384"]),
        {"exclude_bits": ["MAIN"]},
    ),
    "cube: 1 is good": Case(
        set_in("MASK", 1), "good data in a cube", FAILS, ("0% of what was measured", "exclude_bits"), no_spectrum
    ),
    "cube: mask of floats": Case(
        voxels(of_floats), "values of a cube", FAILS, ("MASK float32", "unreadable"), cube_raises
    ),
    "catalogue: newer": Case(
        version("v1.6"), "version of the catalogue", ADAPTED, ("v1.6", "the run reads v1.6"), newest_is("v1.6")
    ),
    "catalogue: newer than is asked for": Case(
        version("v2.0"),
        "version of the catalogue",
        NOTE,
        ("v2.0", "the run reads v1.5", "hetdex.catalogue.version: v2.0"),
        None,
        {"catalogue": {"enabled": True, "version": "v1.5"}},
    ),
    "catalogue: none": Case(
        moved(small_catalogue.DIRECTORY, "hpsc2"), "version of the catalogue", FAILS, ("has no hetdex_sc2_v*.fits",)
    ),
    "catalogue: column missing": Case(
        without_ra, "files of the catalogue", FAILS, ("column RA is missing",), catalogue_raises
    ),
    "catalogue: spectra of another one": Case(
        lambda root: small_catalogue.write_spectra(own(root / small_catalogue.SPECTRA), small_catalogue.sources(49)),
        "files of the catalogue",
        FAILS,
        ("[SPEC]: found BITPIX -32 of shape (1036, 49), expected floats of shape (1036, 50)",),
    ),
    "detections: another order": Case(
        detect("detect_index_hdr5.h5", shuffled),
        "order of the detections",
        ADAPTED,
        ("another", "in all rows: "),
        status_of_first("read"),
    ),
    "detections: unknown kind": Case(
        detect("detect_index_hdr5.h5", of_kind),
        "kinds of detections",
        FAILS,
        ("det_type 'agn'", "recorded as unreadable"),
        status_of_first("unreadable"),
    ),
    "detections: no errors": Case(
        detect("detect_hdr3.h5", without_spectra),
        "tables of the detections",
        FAILS,
        ("detect_hdr3.h5[/Spectra]: column spec1d_err is missing",),
        status_of_first("unreadable"),
    ),
    "detections: a filter that h5py lacks": Case(
        other_filter,
        "chunks of the detections",
        FAILS,
        ("no row can be decoded", "plug-in"),
        status_of_first("unreadable"),
    ),
    "detections: no database": Case(
        moved("detect/detect_hdr3.h5", "detect/lines_hdr3.h5"),
        "tables of the detections",
        FAILS,
        ("detect_hdr3.h5 does not exist", "config/releases.yaml"),
        status_of_first("absent"),
    ),
}


def no_spectrum_by(root, bits):
    assert np.isfinite(spectrum(root, exclude_bits=["MAIN"]).flux[:, ::5]).all()
    assert not np.isfinite(spectrum(root, exclude_bits=bits).flux).any()


@pytest.mark.parametrize("case", CASES)
def test_a_difference_is_seen_and_what_it_means_is_so(root, case):
    check_case("HETDEX", case, CASES[case], root, findings)

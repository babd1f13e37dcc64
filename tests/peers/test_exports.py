"""Exports, read by the libraries that they are made for, against the simulated truth and the assembled files."""

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import healpy
import numpy as np
import pytest
from astropy.coordinates import angular_separation
from astropy.io import fits

from running import ROOT, snakemake
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.export.fits import export_fits
from skyharvest.export.hats import export_hats
from skyharvest.export.mmu import export_mmu
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.assemble import Layout, assemble
from small_release import ARCSEC, ARMS, harvest, inside, near, simulated, write, write_list

pytestmark = pytest.mark.peers

PIX, NEXT, OTHER = 27258, 27259, 27247  # the first two lie in one NSIDE=16 pixel, the third in another
PIX16 = PIX >> 4
EDGE_RA, EDGE_DEC = 180.0, 60.0  # two of HEALPix' twelve base pixels meet here: an edge whatever the partitions are
EDGE = int(healpy.ang2pix(64, EDGE_RA + 0.4 * ARCSEC, EDGE_DEC, nest=True, lonlat=True))  # of the fiber
ACROSS16 = int(healpy.ang2pix(16, EDGE_RA - 0.4 * ARCSEC, EDGE_DEC, nest=True, lonlat=True))  # of the CSV's position
HATS_PYTHON = Path(sys.prefix, "hats", "bin", "python")


def observed(pix64, n, program="dark", *, seed=1, first=0, **how):
    places = [inside(pix64, first + k) for k in range(n)]
    return simulated(n, program, pix64, seed=seed, at=tuple(zip(*places, strict=True)), **how)


DARK = observed(PIX, 4, tiles=[1, 2, 3, 4], zwarn=[0, 4, 0, 4])
DARK.mask["b"][0, 7] |= np.uint32(1 << 31)  # no int32 has that
TWICE = DARK.sources.take([0, 1, 2])
BRIGHT = simulated(
    3, "bright", PIX, seed=2, at=(TWICE.ra, TWICE.dec), targetid=TWICE.targetid, tiles=[4] * 3, zwarn=[0, 0, 4]
)
BESIDE = observed(NEXT, 3, seed=3)
BESIDE.resolution = {arm: values[:, 1:-1] for arm, values in BESIDE.resolution.items()}
EDGE_AT = ([EDGE_RA + 0.4 * ARCSEC, inside(EDGE, 9)[0]], [EDGE_DEC, inside(EDGE, 9)[1]])
ON_EDGE = simulated(2, "dark", EDGE, seed=4, at=EDGE_AT)
ON_EDGE_FIBER = int(np.argmin(np.abs(ON_EDGE.sources.ra - EDGE_AT[0][0])))
SPECTRA = {(made.program, made.pix64): made for made in (DARK, BRIGHT, BESIDE, ON_EDGE)}

PLACES = [
    near(BESIDE, 1, 0.4),
    near(DARK, 0, 0.3),
    inside(OTHER, 5),
    near(BESIDE, 0, 0.9),
    near(DARK, 2, 0.2),
    near(DARK, 0, -0.1),  # the fiber of row 1
    near(DARK, 1, 0.6),
    near(DARK, 3, 0.5),
    (EDGE_RA - 0.4 * ARCSEC, EDGE_DEC),
]
OBSID = [39628473202710581 + k if k != 4 else None for k in range(len(PLACES))]


def matches():
    """Return (CSV row, program, pix64, fiber, arcsec) of all pairs within 1 arcsec: by trying all."""
    found = []
    for row, (ra, dec) in enumerate(PLACES):
        for (program, pix64), made in SPECTRA.items():
            apart = angular_separation(*np.radians([ra, dec]), *np.radians([made.sources.ra, made.sources.dec]))
            arcsec = np.degrees(apart) * 3600
            found += [(row, program, pix64, int(k), arcsec[k]) for k in np.flatnonzero(arcsec <= 1)]
    return found


def key(program, pix64, targetid):
    return str(program), int(pix64), int(targetid)


def of_pixel():
    """Return the matches of the pixel: spectrum → its CSV rows, nearest first."""
    rows: dict = {}
    for row, program, pix64, fiber, arcsec in matches():
        if pix64 in (PIX, NEXT):
            targetid = SPECTRA[program, pix64].sources.targetid[fiber]
            rows.setdefault(key(program, pix64, targetid), []).append((arcsec, row))
    return {spectrum: [row for _, row in sorted(found)] for spectrum, found in rows.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A harvest of everything; nobody writes here."""
    folder = tmp_path_factory.mktemp("harvest")
    for made in SPECTRA.values():
        write(folder / "archive", made, mask_dtype=np.uint32 if made is DARK else np.int32)
    listed = [("main", program, pix64) for program, pix64 in SPECTRA]
    write_list(folder / "archive", [*listed, ("main", "backup", PIX), ("main", "dark", OTHER)])
    with (folder / "targets.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "RA_DESI", "DEC_DESI", "obsid", "sure"])
        for k, (ra, dec) in enumerate(PLACES):
            writer.writerow([f"n° {k}", repr(ra), repr(dec), OBSID[k] or "", "" if k == 4 else k % 2 == 0])
    harvest(folder / "archive", folder / "targets.csv", folder / "results", programs=["dark", "bright", "backup"])
    return folder / "results"


def extracted(results, *pixels):
    return [DESI.path(results / "desi" / "extracted", pix64) for pix64 in pixels]


def crossmatches(results):
    found = DESI.read_plan(results / "desi" / "plan.csv").searched
    return {pix16: DESI.crossmatch(results / "desi_crossmatches", pix16) for pix16 in found}


def assembled_rows(results):
    """Yield (group of DESI, group of the CSV, row) of all assembled rows."""
    for path in crossmatches(results).values():
        with h5py.File(path) as file:
            for i in range(len(file["desi/targetid"])):
                yield file["desi"], file["chandra"], i


# DESI's coadd format


def to_fits(results, out, files, pix16=PIX16):
    targets = results / "targets" / "targets.parquet"
    export_fits(pix16, targets, files, out / "coadd-1.fits", redrock=out / "redrock-1.fits")
    return out / "coadd-1.fits"


@pytest.fixture(scope="module")
def coadd(results, tmp_path_factory):
    return to_fits(results, tmp_path_factory.mktemp("fits"), extracted(results, PIX, NEXT))


def read(path, **how):
    from desispec.io import read_spectra

    return read_spectra(str(path), return_redshifts=True, **how)


def keys_of(spectra):
    table = spectra.fibermap
    return [key(*row) for row in zip(table["PROGRAM"], table["HEALPIX"], table["TARGETID"], strict=True)]


def test_desispec_reads_every_spectrum_once_and_bit_for_bit(coadd):
    spectra = read(coadd, single=True)
    keys, expected = keys_of(spectra), of_pixel()
    assert len(expected) == 9
    assert sorted(keys) == sorted(expected)
    for i, (program, pix64, targetid) in enumerate(keys):
        made = SPECTRA[program, pix64]
        k = made.sources.targetid.tolist().index(targetid)
        for arm in ARMS:
            for kind in ("flux", "ivar", "mask"):
                found = getattr(spectra, kind)[arm][i]
                assert np.array_equal(found, getattr(made, kind)[arm][k]), (i, arm, kind)
            resolution = made.resolution[arm][k]
            if made is BESIDE:
                assert resolution.shape[0] == 9
                resolution = np.pad(resolution, ((1, 1), (0, 0)))
            assert np.array_equal(spectra.resolution_data[arm][i], resolution)
            assert np.array_equal(spectra.wave[arm], made.wavelength[arm])
        for found, table in ((spectra.fibermap, made.fibermap), (spectra.scores, made.scores)):
            for name in table.dtype.names:
                value = table[name][k]
                value = value.decode() if isinstance(value, bytes) else value
                assert found[name][i] == value, name
        fit = made.redshifts[made.redshifts["TARGETID"] == targetid][0]
        assert (spectra.redshifts["TARGETID"][i], spectra.redshifts["Z"][i]) == (targetid, fit["Z"])
        rows = expected[program, pix64, targetid]
        assert spectra.fibermap["CSV_ROW"][i] == rows[0]
        assert spectra.fibermap["CSV_ROWS"][i] == ",".join(map(str, rows))
    assert spectra.mask["b"].max() >= 1 << 31
    both = keys.index(key("dark", PIX, DARK.sources.targetid[0]))
    assert spectra.fibermap["CSV_ROWS"][both] == "5,1"
    assert spectra.fibermap["CSV_SEPARATION"][both] == pytest.approx(0.1, abs=1e-6)


def test_desispec_selects_and_combines_them(coadd, results):
    from desispec.coaddition import coadd_cameras

    wanted = [int(DARK.sources.targetid[1]), int(DARK.sources.targetid[0])]
    chosen = read(coadd, targetids=wanted)
    assert [targetid for _, _, targetid in keys_of(chosen)] == [wanted[0]] * 2 + [wanted[1]] * 2
    assert chosen.redshifts["TARGETID"].tolist() == chosen.fibermap["TARGETID"].tolist()
    spectra = read(coadd)
    assert spectra.num_spectra() > spectra.num_targets()
    dark = spectra[spectra.fibermap["PROGRAM"] == "dark"]
    assert dark.num_spectra() == dark.num_targets() == 6
    combined = coadd_cameras(dark)
    assembled = {
        key(desi["program"][i].decode(), desi["pix64"][i], desi["targetid"][i]): desi["spectrum_flux"][i]
        for desi, _, i in assembled_rows(results)
    }
    for i, spectrum in enumerate(keys_of(combined)):
        assert np.array_equal(combined.flux["brz"][i].astype(np.float32), assembled[spectrum])


@pytest.mark.parametrize("how", [{}, {"format": "DESI coadd"}])
def test_specutils_reads_them(coadd, how):
    from specutils import SpectrumList

    arms = SpectrumList.read(str(coadd), **how)
    table = arms[0].meta["fibermap"]
    assert [arm.meta["band"] for arm in arms] == list(ARMS)
    for i, program in enumerate(table["PROGRAM"]):
        made = SPECTRA[program, int(table["HEALPIX"][i])]
        k = made.sources.targetid.tolist().index(table["TARGETID"][i])
        for arm in arms:
            band = arm.meta["band"]
            assert np.array_equal(arm.flux.value[i], made.flux[band][k])
            assert np.array_equal(arm.uncertainty.array[i], made.ivar[band][k])
            assert np.array_equal(arm.mask[i], made.mask[band][k] != 0)
            resolution = arm.meta["resolution_data"][i]
            assert np.array_equal(resolution[1:-1] if made is BESIDE else resolution, made.resolution[band][k])
            assert arm.spectral_axis.unit == "Angstrom"


def test_masks_keep_their_type_and_headers_say_what_is_in(results, tmp_path, coadd):
    with fits.open(coadd) as hdus:
        hdus.verify("exception")
        assert hdus["B_MASK"].data.dtype.kind == "u"
        assert hdus[0].header["HPXPIXEL"] == PIX16
        assert "PROGRAM" not in hdus[0].header  # there are two
        names = {hdus[0].header[card] for card in hdus[0].header if card.startswith("INFIL")}
        assert names == {f"coadd-main-{program}-{pix64}.fits" for program, pix64, _ in of_pixel()}
        assert hdus["FIBERMAP"].columns["FLUX_G"].unit == "nanomaggy"
    with fits.open(to_fits(results, tmp_path, extracted(results, EDGE), ACROSS16)) as hdus:
        assert hdus["B_MASK"].data.dtype.kind == "i"
        assert hdus[0].header["PROGRAM"] == "dark"


def test_a_pixel_without_spectra_is_a_file_without_rows(results, tmp_path):
    from specutils import SpectrumList

    nothing_read = to_fits(results, tmp_path / "a", extracted(results, OTHER), OTHER >> 4)
    nothing_matched = to_fits(results, tmp_path / "b", extracted(results, PIX, OTHER), OTHER >> 4)
    for path, bands in ((nothing_read, []), (nothing_matched, list(ARMS))):
        spectra = read(path)
        assert (spectra.num_spectra(), spectra.bands) == (0, bands)
        assert len(SpectrumList.read(str(path), format="DESI coadd")) == len(bands)


def without(path, out, *groups):
    """Copy an extracted file without some of its groups, and without its seal."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path) as source, h5py.File(out, "w") as copy:
        copy.attrs.update(source.attrs)
        for name in source:
            if name not in groups:
                source.copy(name, copy)
    return out


def lacks_arm(path, out, arm):
    """Copy an extracted file as if its coadds had no such arm."""
    with h5py.File(without(path, out), "r+") as file:
        file["files/arms"][:] = [" ".join(each for each in ARMS if each != arm)] * len(file["files/arms"])
        for kind, value in {"flux": np.nan, "ivar": 0, "mask": 256, "resolution": np.nan}.items():
            file[f"{arm}/{kind}"][:] = value
    return out


def test_rows_that_are_not_kept_are_left_out(results, tmp_path, coadd):
    path, *others = extracted(results, PIX, NEXT)
    with h5py.File(without(path, tmp_path / "x.hdf5"), "r+") as file:
        gone = file["coadd_row"][:] == file["coadd_row"][0]
        gone &= file["file"][:] == file["file"][0]
        file["kept"][gone] = False
        ids = file["targetid"][:][~gone]
    spectra = read(to_fits(results, tmp_path / "a", [tmp_path / "x.hdf5", *others]))
    assert spectra.num_spectra() == read(coadd).num_spectra() - 1
    of_pixel = np.asarray(spectra.fibermap["HEALPIX"]) == PIX
    assert set(np.asarray(spectra.fibermap["TARGETID"])[of_pixel]) == set(ids)


def test_arms_may_be_missing(results, tmp_path, coadd):
    whole, path = extracted(results, PIX, NEXT)
    lacking = lacks_arm(path, tmp_path / "next.hdf5", "z")
    spectra, reference = (read(made) for made in (to_fits(results, tmp_path / "a", [whole, lacking]), coadd))
    gone = np.asarray(spectra.fibermap["HEALPIX"]) == NEXT
    assert gone.sum() == 2
    assert not spectra.flux["z"][gone].any()
    assert not spectra.ivar["z"][gone].any()
    assert (spectra.mask["z"][gone] == 256).all()
    assert not spectra.resolution_data["z"][gone].any()
    assert np.array_equal(spectra.flux["z"][~gone], reference.flux["z"][~gone])
    assert np.array_equal(spectra.flux["r"], reference.flux["r"])
    both = [lacking, lacks_arm(whole, tmp_path / "pix.hdf5", "z")]
    assert read(to_fits(results, tmp_path / "b", both)).bands == ["b", "r"]


def test_what_cannot_be_written_as_one_file_says_which_file_to_remove(results, tmp_path):
    files = extracted(results, PIX, NEXT)
    torn = tmp_path / "torn.hdf5"
    torn.write_bytes(files[0].read_bytes()[:-100])
    with pytest.raises(MalformedFile, match=r"torn\.hdf5.*remove it"):
        to_fits(results, tmp_path, [torn, files[1]])
    bare = without(files[1], tmp_path / "bare.hdf5", "redshifts")
    with pytest.raises(MalformedFile, match=r"bare\.hdf5 has no redshifts"):
        to_fits(results, tmp_path, [files[0], bare])
    no_resolution = without(files[1], tmp_path / "no.hdf5")
    with h5py.File(no_resolution, "a") as file:
        del file["b/resolution"]
    with pytest.raises(MalformedFile, match=r"only one has b/resolution"):
        to_fits(results, tmp_path, [files[0], no_resolution])
    assert not list(tmp_path.glob("*.fits"))


# The Multimodal Universe

FLUXES = [f"{kind}_{band}" for kind in ("FLUX", "FLUX_IVAR", "FIBERFLUX", "FIBERTOTFLUX") for band in "GRZ"]
CONTRACT = (
    {"object_id": "i8", "ra": "f8", "dec": "f8", "healpix": "i8", "Z": "f8", "ZERR": "f8", "ZWARN": "i8"}
    | {f"spectrum_{kind}": "f4" for kind in ("flux", "ivar", "lsf_sigma", "lambda")}
    | {"spectrum_mask": "?"}
    | dict.fromkeys(["EBV", *FLUXES], "f4")
)
"""What scripts/desi/desi.py and mmu/utils.py of the Multimodal Universe read."""


@pytest.fixture(scope="module")
def universe(results, tmp_path_factory):
    """The files of all pixels, by pixel of the fibers."""
    folder = tmp_path_factory.mktemp("mmu") / "dr1_main"
    sources = list(crossmatches(results).values())
    made = {}
    for pix16 in sorted({PIX16, OTHER >> 4, EDGE >> 4, ACROSS16}):
        made[pix16] = folder / f"healpix={pix16}" / "001-of-001.hdf5"
        export_mmu(pix16, sources, made[pix16])
    return made


def test_the_flat_layout_is_what_the_multimodal_universe_reads(universe):
    for path in universe.values():
        with h5py.File(path) as file:
            n = len(file["object_id"])
            for name, dtype in CONTRACT.items():
                assert file[name].dtype == np.dtype(dtype), name
                assert file[name].shape == ((n, 7781) if name.startswith("spectrum_") else (n,)), name


def test_a_target_is_there_once_where_its_fiber_is_with_its_primary_spectrum(universe, results):
    programs = {
        int(made.sources.targetid[k]): program
        for made, k, program in [
            *[(DARK, 0, "dark"), (DARK, 1, "bright"), (DARK, 2, "dark"), (DARK, 3, "dark")],
            *[(BESIDE, 0, "dark"), (BESIDE, 1, "dark"), (ON_EDGE, ON_EDGE_FIBER, "dark")],
        ]
    }
    ids = []
    for pix16, path in universe.items():
        with h5py.File(path) as file:
            found = file["object_id"][:].tolist()
            ids += found
            assert found == sorted(set(found))
            assert file["healpix"][:].tolist() == [pix16] * len(found)
            pixels = healpy.ang2pix(16, file["ra"][:], file["dec"][:], nest=True, lonlat=True)
            assert pixels.tolist() == [pix16] * len(found)
            assert [name.decode() for name in file["PROGRAM"][:]] == [programs[targetid] for targetid in found]
            if DARK.sources.targetid[0] in found:
                i = found.index(DARK.sources.targetid[0])
                assert (file["CSV_ROW"][i], file["CSV_SEPARATION"][i]) == (5, pytest.approx(0.1, abs=1e-6))
    assert sorted(ids) == sorted(programs)
    with h5py.File(universe[EDGE >> 4]) as file:
        assert file["object_id"][:].tolist() == [ON_EDGE.sources.targetid[ON_EDGE_FIBER]]
    assert EDGE >> 4 != ACROSS16


def test_its_values_are_those_of_the_assembled_files(universe, results):
    rows = {
        key(desi["program"][i].decode(), desi["pix64"][i], desi["targetid"][i]): (
            {name: item[i] for name, item in desi.items() if name != "spectrum_lambda"},
            desi["spectrum_lambda"][:],
        )
        for desi, _, i in assembled_rows(results)
    }
    n_bad = 0
    for path in universe.values():
        with h5py.File(path) as file:
            for i, targetid in enumerate(file["object_id"]):
                row, wave = rows[key(file["PROGRAM"][i].decode(), file["HEALPIX"][i], targetid)]
                for kind in ("flux", "ivar", "lsf_sigma"):
                    assert np.array_equal(file[f"spectrum_{kind}"][i], row[f"spectrum_{kind}"], equal_nan=True)
                assert np.array_equal(file["spectrum_lambda"][i], wave.astype(np.float32))
                bad = (row["spectrum_mask"] != 0) | (row["spectrum_ivar"] < 1e-6)
                assert np.array_equal(file["spectrum_mask"][i], bad)
                n_bad += bad.sum()
                for name in ("Z", "ZERR", "ZWARN", "EBV", *FLUXES, "SPECTYPE", "COADD_FIBERSTATUS", "TSNR2_LRG"):
                    assert file[name][i] == row[name.lower()], name
    assert n_bad


def test_what_a_run_left_out_is_missing_or_asked_for(results, tmp_path):
    targets, files = results / "targets" / "targets.parquet", extracted(results, PIX, NEXT)
    layouts = {"bare": Layout(redshifts=False), "no_flux": Layout(combine=False), "no_lsf": Layout(lsf=False)}
    made = {}
    for name, layout in layouts.items():
        made[name] = tmp_path / f"{name}.hdf5"
        assemble(PIX16, targets, files, made[name], layout=layout, attributes={})
    with h5py.File(made["bare"], "a") as file:
        del file["desi/ebv"]
    assert export_mmu(PIX16, [made["bare"]], tmp_path / "out.hdf5") == 6
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert np.isnan([file[name][:] for name in ("Z", "ZERR", "EBV")]).all()
        assert file["ZWARN"][:].tolist() == [-1] * 6
    with pytest.raises(InputError, match=r"spectrum_flux.*desi\.spectra\.combine"):
        export_mmu(PIX16, [made["no_flux"]], tmp_path / "no.hdf5")
    with pytest.raises(InputError, match=r"spectrum_lsf_sigma.*desi\.spectra\.lsf"):
        export_mmu(PIX16, [made["no_lsf"]], tmp_path / "no.hdf5")
    assert not (tmp_path / "no.hdf5").exists()


def module_of(path):
    spec = importlib.util.spec_from_file_location(f"multimodal_{path.stem}", path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # datasets pickles what it runs
    spec.loader.exec_module(made)
    return made


def test_the_multimodal_universes_own_code_reads_and_crossmatches_them(universe, tmp_path, monkeypatch):
    root = Path(os.environ.get("MULTIMODAL_UNIVERSE", "/nonexistent"))
    loader, utils = root / "scripts" / "desi" / "desi.py", root / "mmu" / "utils.py"
    if not (loader.exists() and utils.exists()):
        pytest.skip("MULTIMODAL_UNIVERSE does not name a clone of github.com/MultimodalUniverse/MultimodalUniverse")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")  # which datasets reads as it is imported
    pytest.importorskip("datasets")
    files = {"train": [str(path) for path in universe.values()]}

    def builder(name):
        made = module_of(loader).DESI(
            cache_dir=str(tmp_path / name), config_name="dr1_main", data_files={"train": list(files["train"])}
        )
        made.config.name = name
        return made

    dataset_builder = builder("dr1_main")
    dataset_builder.download_and_prepare()
    dataset = dataset_builder.as_dataset(split="train").with_format("numpy")
    expected = {}
    for path in universe.values():
        with h5py.File(path) as file:
            expected |= {str(k): (file["spectrum_flux"][i], file["Z"][i]) for i, k in enumerate(file["object_id"])}
    assert sorted(dataset["object_id"]) == sorted(expected)
    for example in dataset:
        flux, z = expected[str(example["object_id"])]
        assert np.array_equal(example["spectrum"]["flux"], flux)
        assert example["Z"] == np.float32(z)
    matched = module_of(utils).cross_match_datasets(
        builder("dr1_main"), builder("again"), cache_dir=str(tmp_path / "matched")
    )
    assert sorted(matched["object_id"]) == sorted(expected)


# HATS


@pytest.fixture(scope="module")
def importer():
    """A Python that has hats-import."""
    if importlib.util.find_spec("hats_import"):
        return sys.executable
    if not HATS_PYTHON.exists():
        pytest.skip(f"neither this environment nor {HATS_PYTHON} has hats-import")
    return str(HATS_PYTHON)


@pytest.fixture(scope="module")
def hats(results, importer, tmp_path_factory):
    pytest.importorskip("lsdb")
    out = tmp_path_factory.mktemp("hats") / "export_hats"
    command = [importer, str(ROOT / "scripts" / "export" / "export_hats.py"), "--release", "demo", "--out", str(out)]
    command += ["--plan", str(results / "desi" / "plan.csv"), "--crossmatches", str(results / "desi_crossmatches")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return out


def by_row(frame):
    return {(int(row.chandra_row), row.program): row for row in frame.itertuples(index=False)}


def test_lsdb_opens_the_catalogue_with_all_values(hats, results):
    import lsdb

    rows = by_row(lsdb.open_catalog(str(hats)).compute())
    assert len(rows) == len(matches())
    for desi, chandra, i in assembled_rows(results):
        row = rows[int(chandra["row"][i]), desi["program"][i].decode()]
        for name, item in desi.items():
            if name.startswith("spectrum_"):
                field = "wave" if name == "spectrum_lambda" else name.removeprefix("spectrum_")
                values = item[:] if field == "wave" else item[i]
                nested = row.spectrum[field].to_numpy()
                assert np.array_equal(nested.astype(values.dtype), values, equal_nan=True), name
            else:
                value = item[i].decode() if isinstance(item[i], bytes) else item[i]
                assert getattr(row, name) == value, name
        k = int(chandra["row"][i])
        assert row.chandra_name == f"n° {k}"
        if k == 4:
            assert str(row.chandra_obsid) == str(row.chandra_sure) == "<NA>"
        else:
            assert (row.chandra_obsid, row.chandra_sure) == (OBSID[k], k % 2 == 0)


def test_its_margin_lets_lsdb_crossmatch_over_an_edge(hats):
    import lsdb
    import pandas as pd

    catalogue = lsdb.open_catalog(str(hats))
    assert ON_EDGE.sources.targetid[ON_EDGE_FIBER] in catalogue.margin.compute()["targetid"].tolist()
    places = pd.DataFrame(PLACES, columns=["ra", "dec"]).assign(row=range(len(PLACES)))
    left = lsdb.from_dataframe(places, catalog_name="left", margin_threshold=10)
    pairs = left.crossmatch(catalogue, radius_arcsec=1, n_neighbors=9, suffixes=("", "_desi")).compute()
    found = sorted(zip(pairs["row"], pairs["program_desi"], pairs["targetid_desi"], strict=True))
    expected = [(row, program, SPECTRA[program, pix].sources.targetid[k]) for row, program, pix, k, _ in matches()]
    # A fiber that two CSV rows match is there twice, and so are the pairs with it.
    assert sorted(set(found)) == sorted(set(expected))


def test_the_catalogue_says_nothing_of_where_it_was_made_and_leaves_nothing_behind(hats):
    assert [path.name for path in hats.parent.iterdir()] == ["export_hats"]
    for path in hats.rglob("*properties"):
        assert str(hats.parent) not in path.read_text(), path


def test_without_hats_import_a_person_is_told_what_to_do(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hats_import", None)
    with pytest.raises(InputError, match="make hats"):
        export_hats(list(crossmatches(results).values()), tmp_path / "export_hats")
    assert not list(tmp_path.iterdir())


# The workflow


def test_the_exports_are_targets_of_snakemake(tmp_path, importer):
    wanted = ["export_fits", "export_mmu", "export_hats"]
    how = ["--config", "hetdex={enabled: false}", "legacysurvey={enabled: false}"]
    done = snakemake(tmp_path, *wanted, *how, timeout=550)
    assert done.status == 0, done.output
    results = tmp_path / "results" / "demo"
    plan = DESI.read_plan(results / "desi" / "plan.csv")
    pixels = {f"healpix={pix16}" for pix16 in plan.searched}
    assert {path.parent.name for path in results.glob("export_fits/*/coadd-*.fits")} == pixels
    assert (results / "export_hats" / "collection.properties").exists()
    with_ids = [h5py.File(path)["object_id"][:] for path in results.glob("export_mmu/*/001-of-001.hdf5")]
    matched = {int(desi["targetid"][i]) for desi, _, i in assembled_rows(results)}
    assert sorted(np.concatenate(with_ids).tolist()) == sorted(matched)
    again = snakemake(tmp_path, *wanted, *how)
    assert "Nothing to be done" in again.output
    shutil.rmtree(results / "export_mmu")
    again = snakemake(tmp_path, "export_mmu", "-n", *how)
    assert f"export_mmu_pixel {len(with_ids)}".split() in [line.split() for line in again.output.splitlines()]

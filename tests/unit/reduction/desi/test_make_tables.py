"""Tables of a night, made again and again as its data come; pixels of fibers as desispec finds them."""

import json
from unittest import mock

import numpy as np
import pytest
from astropy.table import Table
from make_exposure_tables import build_parser, main

from raw_exposures import ASSIGNED, NIGHT, cut, write_fibermap, write_raw
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.desi import exposure_healpix, exposure_table, make_tables
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel, read_healpix
from skyharvest.reduction.desi.exposure_table import read_table
from skyharvest.reduction.desi.fibermap import fiber_pixels


@pytest.fixture
def raw(tmp_path):
    """Return a night: two arcs, the second cut short; a science exposure; and one whose raw file is missing."""
    raw = tmp_path / "raw"
    write_raw(raw, 1, "arc")
    cut(write_raw(raw, 2, "arc") / "desi-00000002.fits.fz", 20_000)
    write_fibermap(write_raw(raw, 3, "science", **ASSIGNED))
    (write_raw(raw, 4, "flat") / "desi-00000004.fits.fz").unlink()
    return raw


def run(raw, tmp_path):
    """Make the tables; return exposures by EXPID, and which were read."""
    with mock.patch.object(make_tables, "read_exposure", wraps=make_tables.read_exposure) as reading:
        (path,) = make_tables.make_tables(raw, tmp_path / "production")
    return {exposure.expid: exposure for exposure in read_table(path)}, [call.args[2] for call in reading.mock_calls]


def test_a_night_is_added_to_and_edits_stay(raw, tmp_path):
    exposures, read = run(raw, tmp_path)
    assert read == [1, 2, 3, 4]
    assert [exposures[k].obstype for k in read] == ["arc", "arc", "science", "unknown"]
    assert exposures[2].cameras == {"b0", "r0", "z0"}
    assert exposures[2].reason == ""
    assert "desi-00000002.fits.fz of 20000 bytes: cut short: the data of " in exposures[2].headererr
    assert exposures[4].reason == "corrupted, desi-00000004.fits.fz is missing"
    assert (exposures[3].survey, exposures[3].program) == ("main", "dark")
    path = exposure_table.path_of(tmp_path / "production", NIGHT)
    pixels = exposure_healpix.path_of(tmp_path / "production", NIGHT)
    times = [file.stat().st_mtime_ns for file in (path, pixels)]
    assert run(raw, tmp_path) == (exposures, [])
    assert [file.stat().st_mtime_ns for file in (path, pixels)] == times

    lines = path.read_text().splitlines()
    assert lines[2].startswith("2,arc,1,all,a0,,,1000.0")
    lines[2] = lines[2].replace("2,arc,1,all,a0,,,1000.0", "2,arc,1,all,a0,r0,z0D,0.0")[:-2] + ",junk|,clouds|"
    lines[3] = lines[3].replace(",dark,", ",bright,", 1)
    lines[4] = lines[4].replace(",corrupted|,", ",corrupted|low_sn|,lamp|")
    path.write_text("\n".join(lines) + "\n")
    for expid, obstype in ((2, "arc"), (4, "flat"), (5, "arc")):
        directory = raw / f"{NIGHT}/{expid:08d}"
        if directory.exists():
            for file in directory.iterdir():
                file.unlink()
            directory.rmdir()
        write_raw(raw, expid, obstype, ("b0", "r0", "z0", "b1"))
    exposures, read = run(raw, tmp_path)
    assert read == [2, 4, 5]
    arc, science, flat = exposures[2], exposures[3], exposures[4]
    assert (arc.cameras, arc.left_out, arc.badamps) == ({"b0", "z0", "b1"}, {"r0"}, (("z0", "D"),))
    assert (arc.reason, arc.exptime, arc.headererr) == ("junk", 0.0, "")
    assert science.program == "bright"
    assert {pixel.program for pixel in read_healpix(pixels)} == {"bright"}
    assert (flat.obstype, flat.reason, flat.cameras) == ("flat", "", {"b0", "r0", "z0", "b1"})
    assert path.read_text().splitlines()[2].endswith(",,junk|,clouds|")
    assert path.read_text().splitlines()[4].endswith(",,low_sn|,lamp|")
    assert run(raw, tmp_path) == (exposures, [])


def test_a_cut_file_has_the_cameras_that_come_later(tmp_path):
    raw = tmp_path / "raw"
    cut(write_raw(raw, 1, "arc") / "desi-00000001.fits.fz", 20_000)
    exposures, _ = run(raw, tmp_path)
    assert exposures[1].cameras < {"b0", "r0", "z0"}
    write_raw(raw, 2, "arc", ("b0", "r0", "z0", "z5"))
    exposures, read = run(raw, tmp_path)
    assert (exposures[1].cameras, read) == ({"b0", "r0", "z0", "z5"}, [2, 1])
    cut(write_raw(raw, 3, "arc") / "desi-00000003.fits.fz", 20_000)
    exposures, read = run(raw, tmp_path)
    assert (exposures[3].cameras, read) == ({"b0", "r0", "z0", "z5"}, [3])
    assert run(raw, tmp_path) == (exposures, [])


def test_pixels_that_are_lost_are_found_again(raw, tmp_path):
    run(raw, tmp_path)
    path = exposure_healpix.path_of(tmp_path / "production", NIGHT)
    before = path.read_text()
    assert before.splitlines()[0] == "NIGHT,EXPID,TILEID,SURVEY,PROGRAM,SPECTRO,HEALPIX,N_TARGETS"
    assert read_healpix(path) == [ExposurePixel(NIGHT, 3, 1, "main", "dark", 0, read_healpix(path)[0].healpix, 2)]
    path.unlink()
    assert run(raw, tmp_path)[1] == []
    assert path.read_text() == before
    path.write_text(before.replace(",2\n", ",two\n"))
    with pytest.raises(MalformedFile, match=rf"exposure_healpix_{NIGHT}\.csv, line 2: .*two', expected NIGHT, EXPID"):
        run(raw, tmp_path)
    path.write_text("a,b\n")
    with pytest.raises(MalformedFile, match="has the columns a, b, expected NIGHT"):
        read_healpix(path)


def positions(n=4000):
    """Return PETAL_LOC, TARGET_RA, TARGET_DEC over the sky: at random, at poles, on borders of pixels, and nowhere."""
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    ra[:8], dec[:8] = [0, 360, 45, 90, 359.9999999, 0, 10, 200], [90, -90, 0, 0, 0, 41.8103148957786, 0, 0]
    ra[10:40:3], dec[11:40:3] = np.nan, np.nan
    ra[40], dec[40] = np.inf, 0
    return np.stack([rng.integers(0, 10, n), ra, dec], axis=1)


@pytest.mark.peers
def test_pixels_are_desispecs(tmp_path, monkeypatch):
    """Three exposures of two tiles, one of a program that desispec names otherwise; one without a tile."""
    from desispec import io, pixgroup

    monkeypatch.setenv("DESI_SPECTRO_REDUX", str(tmp_path))
    monkeypatch.setenv("SPECPROD", "production")
    raw = tmp_path / "raw"
    all_cameras = tuple(f"{arm}{k}" for k in range(10) for arm in "brz")
    tiles = {1: (80, "maindark"), 2: (81, "sv1elg"), 3: (80, "maindark")}
    for expid, (tile, flavor) in tiles.items():
        program = "dark" if flavor == "maindark" else "ELG+QSO"
        directory = write_raw(raw, expid, "science", TILEID=tile)
        which = positions()[: 300 * tile - 23000]
        fibermap = Table(fits_table(write_fibermap(directory, which, SURVEY="main", FAPRGRM=program, FAFLAVOR=flavor)))
        fibermap = fibermap[~np.isinf(fibermap["TARGET_RA"])]
        tilepix = io.findfile("tilepix", NIGHT, expid, tile=tile)
        (tmp_path / tilepix).parent.mkdir(parents=True)
        (tmp_path / tilepix).write_text(json.dumps({str(tile): pixgroup.fibermap2tilepix(fibermap)}))
    write_fibermap(write_raw(raw, 4, "science", TILEID=-1, **ASSIGNED))
    production = tmp_path / "production"
    make_tables.make_tables(raw, production)
    n = len(tiles)
    exposures = Table({"NIGHT": [NIGHT] * n, "EXPID": list(tiles), "SURVEY": ["main"] * n, "FAPRGRM": ["?"] * n})
    exposures["TILEID"], exposures["FAFLAVOR"] = map(list, zip(*tiles.values(), strict=True))
    exposures.write(tmp_path / "exposures.fits")
    frames = Table(rows=[(expid, camera) for expid in tiles for camera in all_cameras], names=["EXPID", "CAMERA"])
    exposures.meta["EXTNAME"], frames.meta["EXTNAME"] = "EXPOSURES", "FRAMES"
    exposures.write(tmp_path / "exposures.fits", overwrite=True)
    frames.write(tmp_path / "exposures.fits", append=True)
    theirs = pixgroup.get_exp2healpix_map(str(tmp_path / "exposures.fits"))
    ours = read_healpix(exposure_healpix.path_of(production, NIGHT))
    names = [name.lower() for name in theirs.colnames]
    assert [tuple(getattr(pixel, name) for name in names) for pixel in ours] == sorted(map(tuple, theirs))
    assert {pixel.program for pixel in ours} == {"dark"}
    assert len(ours) > 3000


def fits_table(path):
    import fitsio

    return fitsio.read(str(path), "FIBERMAP").byteswap().view(fitsio.read(str(path), "FIBERMAP").dtype.newbyteorder())


@pytest.mark.peers
def test_fibers_are_counted():
    """As many as desispec's `desi_group_spectra` takes of a frame; none is lost, but those without a position."""
    from desimodel.footprint import radec2pix

    petal, ra, dec = np.repeat(positions(1500), 2, axis=0).T
    petal = petal.astype(np.int16) - 1  # one petal is out of range
    kept = np.isfinite(ra) & np.isfinite(dec) & (petal >= 0)
    pixels = radec2pix(64, ra[kept], dec[kept])
    made = fiber_pixels(petal, ra, dec)
    assert sum(n for *_, n in made) == kept.sum()
    for spectro, pixel, n in made[::50]:
        assert n == ((pixels == pixel) & (petal[kept] == spectro)).sum()


def test_a_tree_that_is_none_is_refused(raw, tmp_path, caplog):
    production = tmp_path / "production"
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong, message in {
        raw / str(NIGHT): "has 00000001, 00000002, 00000003, 00000004, expected directories NIGHT/EXPID",
        tmp_path: "has empty, raw, expected directories NIGHT/EXPID",
        empty: "is empty, expected directories NIGHT/EXPID, such as 20250115/00000001",
        tmp_path / "none": "none is no directory, expected",
    }.items():
        with pytest.raises(InputError, match=message):
            make_tables.make_tables(wrong, production)
    with pytest.raises(InputError, match=r"has no night 20250116, 20250117; it has 1, 20250115 to 20250115"):
        make_tables.make_tables(raw, production, [20250117, 20250116])
    (raw / "20250116/1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"20250116 has 1, expected directories with an EXPID of 8 digits"):
        make_tables.make_tables(raw, production, [20250116])
    assert not production.exists()
    (raw / "20250116/1").rmdir()
    (raw / "README").touch()
    with caplog.at_level("INFO"):
        paths = make_tables.make_tables(raw, production)
    assert [len(read_table(path)) for path in paths] == [4, 0]
    assert f"{raw}: left out README, expected directories NIGHT/EXPID" in caplog.text


def test_the_program_tells_of_each_night(raw, tmp_path, capsys, caplog):
    production = str(tmp_path / "production")
    arguments = ["--raw", str(raw), "--production", production, "--nights", str(NIGHT)]
    with caplog.at_level("INFO"):
        assert cli.run(main, build_parser(), arguments) == 0
    assert f"night {NIGHT}: 2 arc, 1 science, 1 unknown (4 read now); HEADERERR of 2, 4" in caplog.text
    assert f"night {NIGHT}, exposure 4: FILE:desi-00000004.fits.fz is missing->EXPFLAG corrupted" in caplog.text
    assert cli.run(main, build_parser(), ["--raw", production, "--production", production]) == cli.EXIT_USAGE
    assert "error: " in capsys.readouterr().err

"""CSV rows with a spectrum, counted from the files alone: against astropy's all pairs, and blind to other claims."""

import subprocess
import sys
from pathlib import Path

import astropy.units as u
import h5py
import healpy
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

import count_crossmatches
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.products.count import Count, count_csv, count_files, find_files
from small_release import ARCSEC, harvest, inside, near, simulated, write, write_list

ROOT = Path(__file__).resolve().parents[3]
RNG = np.random.default_rng(11)


def write_file(root, pixel, spectra, csv=None, *, names=("RA_DESI", "DEC_DESI"), row=None, name="crossmatch_desi.hdf5"):
    """Write the least that an assembled file has: spectra's positions and, beside them, the CSV rows'."""
    path = root / f"healpix={pixel}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"survey": "desi", "csv_group": "chandra"})
        file["desi/ra"], file["desi/dec"] = np.array(spectra, float).reshape(-1, 2).T
        file["desi/separation_arcsec"] = np.zeros(len(spectra))  # a claim that nobody should believe
        if csv is not None:
            group = file.create_group("chandra")
            group.attrs.update({"csv": "t.csv", "ra_column": names[0], "dec_column": names[1]})
            group["row"] = np.arange(len(csv)) if row is None else row
            for column, values in zip(names, np.array(csv, float).reshape(-1, 2).T, strict=True):
                link = column.replace("/", "_")
                group[link] = values
                if link != column:
                    group[link].attrs["column"] = column
    return path


def write_old_file(root, pixel, spectra):
    path = root / f"healpix={pixel}" / "crossmatch_1703.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["desi/edr_sv3_ra"], file["desi/edr_sv3_dec"] = np.array(spectra, float).reshape(-1, 2).T
    return path


def moved(places, reach):
    """Return positions up to ``reach`` arcsec away, in every direction."""
    centre = SkyCoord(places, unit="deg")
    n = len(places)
    there = centre.directional_offset_by(RNG.uniform(0, 360, n) * u.deg, RNG.uniform(0, reach, n) * u.arcsec)
    return np.transpose([there.ra.deg, there.dec.deg])


PLACES = np.concatenate(
    [
        np.transpose([RNG.uniform(0, 360, 60), np.degrees(np.arcsin(RNG.uniform(-1, 1, 60)))]),
        [(0.0, 0.0), (359.99999, 30.0), (1e-5, -30.0), (77.0, 90.0), (200.0, 89.9999), (10.0, -90.0)],
    ]
)


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.0])
def test_counts_are_astropys(tmp_path, radius):
    csv = np.repeat(PLACES, 2, axis=0)  # two CSV rows at each place
    spectra = np.concatenate([moved(csv, 2.0), moved(PLACES, 200.0)])
    pixel = healpy.ang2pix(16, *csv.T, nest=True, lonlat=True)
    home = healpy.ang2pix(16, *spectra.T, nest=True, lonlat=True)
    home[: len(csv)] = pixel  # those across an edge are in the file of their CSV row
    distance = SkyCoord(csv, unit="deg")[:, None].separation(SkyCoord(spectra, unit="deg")[None]).arcsec
    near_enough = (distance <= radius) & (pixel[:, None] == home)
    beside = distance.diagonal() <= radius
    for number in np.unique(home):
        mine = np.flatnonzero(home == number)
        write_file(tmp_path, number, spectra[mine])
    files = find_files(tmp_path)
    counts = count_csv(files, pixel, *csv.T, radius)
    assert counts == {
        number: Count((pixel == number).sum(), near_enough[pixel == number].any(axis=1).sum(), (home == number).sum())
        for number in files
    }
    assert 30 < sum(of.with_spectrum for of in counts.values()) <= len(csv)
    # Now with each CSV row beside its spectrum, and no CSV.
    for number in np.unique(pixel):
        mine = np.flatnonzero(pixel == number)
        write_file(tmp_path / "with", number, spectra[mine], csv[mine], row=mine)
    counts = count_files(find_files(tmp_path / "with"), radius)
    assert counts == {
        number: Count((pixel == number).sum(), beside[pixel == number].sum(), (pixel == number).sum())
        for number in np.unique(pixel)
    }


def test_the_circle_is_closed_and_a_row_counts_once(tmp_path):
    place = (150.0, 2.0)
    spectra = [place, place, (150.0, 2.0 + 0.5 * ARCSEC)]
    write_file(tmp_path, 7, spectra, [place] * 3, row=[4, 4, 9])
    assert count_files(find_files(tmp_path), 0.0) == {7: Count(2, 1, 3)}
    assert count_files(find_files(tmp_path), 0.5 - 1e-6) == {7: Count(2, 1, 3)}
    assert count_files(find_files(tmp_path), 0.5 + 1e-6) == {7: Count(2, 2, 3)}


def test_any_survey_is_counted(tmp_path):
    path = write_file(tmp_path, 7, [(10, 5)] * 2, [(10, 5), (10, 6)], name="crossmatch_toy.hdf5")
    with h5py.File(path, "r+") as file:
        file.move("desi", "toy")
        file.attrs["survey"] = "toy"
    assert count_files(find_files(tmp_path), 1.0) == {7: Count(2, 1, 2)}


def test_blocks_change_nothing(tmp_path, monkeypatch):
    write_file(tmp_path, 7, moved(PLACES, 1.0))
    files, pixel = find_files(tmp_path), np.full(len(PLACES), 7)
    expected = count_csv(files, pixel, *PLACES.T, 0.5)
    monkeypatch.setattr("skyharvest.products.count.BLOCK_ROWS", 7)
    assert count_csv(files, pixel, *PLACES.T, 0.5) == expected


def test_positions_beside_the_wrong_spectrum_are_noticed(tmp_path):
    places = [inside(27258, k) for k in range(5)]
    write_file(tmp_path, 1703, places, places[1:] + places[:1])
    assert count_files(find_files(tmp_path), 1.0) == {1703: Count(5, 0, 5)}


def test_several_files_of_a_pixel_and_both_layouts_are_taken_together(tmp_path):
    places = np.array([inside(27258, k) for k in range(4)])
    write_file(tmp_path, 1703, places[:2])
    write_old_file(tmp_path, 1703, places[1:3])
    assert count_csv(find_files(tmp_path), np.full(4, 1703), *places.T, 1.0) == {1703: Count(4, 3, 4)}


def test_columns_of_any_name_and_numbers_kept_as_text(tmp_path):
    path = write_file(tmp_path, 7, [(10, 5)] * 2, [(10, 5), (10, 6)], names=("a/b", "DEC"))
    assert count_files(find_files(tmp_path), 1.0) == {7: Count(2, 1, 2)}
    with h5py.File(path, "r+") as file:
        del file["chandra/DEC"]
        file["chandra"].create_dataset("DEC", data=["05", "06"], dtype=h5py.string_dtype())
    assert count_files(find_files(tmp_path), 1.0) == {7: Count(2, 1, 2)}


# --- A run's own files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A harvest of 3 matched rows in 2 pixels, one of them twice, and of 4 rows without a spectrum; as it is named."""
    folder = tmp_path_factory.mktemp("count")
    first, second = (
        simulated(3, pix64=pix, at=tuple(zip(*(inside(pix, k) for k in range(3)), strict=True)))
        for pix in (27258, 27247)
    )
    bright = simulated(3, "bright", 27258, at=(first.sources.ra, first.sources.dec), targetid=first.sources.targetid)
    for coadd in (first, second, bright):
        write(folder / "archive", coadd)
    write_list(folder / "archive", [("main", coadd.program, coadd.pix64) for coadd in (first, second, bright)])
    places = [near(first, 0, 0.5), near(second, 1, 0.9), near(first, 2, 0.2), near(second, 2, 1.5), inside(27258, 50)]
    places += [(10.0, 80.0), (10.0, 95.0)]
    (folder / "t.csv").write_text("RA_DESI,DEC_DESI\n" + "".join(f"{ra!r},{dec!r}\n" for ra, dec in places))
    harvest(folder / "archive", folder / "t.csv", folder / "results")
    return folder


def program(capsys, *arguments):
    status = cli.run(
        count_crossmatches.main, count_crossmatches.build_parser(), [str(argument) for argument in arguments]
    )
    captured = capsys.readouterr()
    if status:
        return status, captured.err.splitlines()[-1]
    return [line.split() for line in captured.out.splitlines()]


HEADER = ["healpix", "csv_rows", "with_spectrum", "spectra"]


def test_a_run_is_counted_by_its_files_alone(run, capsys):
    root = run / "results" / "desi_crossmatches"
    table = [["1702", "1", "1", "1"], ["1703", "2", "2", "4"]]
    assert program(capsys, "--hdf5-root", root) == [HEADER, *table, ["all", "3", "3", "5"]]
    assert program(capsys, "--hdf5-root", root, "--healpix", 1703) == [HEADER, table[1], ["all", "2", "2", "4"]]
    fewer = program(capsys, "--hdf5-root", root, "--max-arcsec", 0.3)
    assert fewer == [HEADER, ["1702", "1", "0", "1"], ["1703", "2", "1", "4"], ["all", "3", "1", "5"]]


def test_a_run_is_counted_by_the_csv(run, capsys):
    root = run / "results" / "desi_crossmatches"
    by_csv = ("--hdf5-root", root, "--csv", run / "t.csv")
    table = [["1702", "2", "1", "1"], ["1703", "3", "2", "4"]]
    total = ["all", "6", "3", "5"]  # the row with a bad declination is not one
    assert program(capsys, *by_csv) == [HEADER, *table, ["no", "file", "1", "0", "0"], total]
    assert program(capsys, *by_csv, "--healpix", 1702) == [HEADER, table[0], ["all", "2", "1", "1"]]
    (run / "other.csv").write_text((run / "t.csv").read_text().replace("RA_DESI,DEC_DESI", "ra,dec"))
    named = ("--hdf5-root", root, "--csv", run / "other.csv")
    assert program(capsys, *named, "--ra", "ra", "--dec", "dec")[-1] == total
    status, message = program(capsys, *named)
    assert status == 2
    assert "no column 'RA_DESI' for RA (nearest name: 'ra')" in message


def test_the_older_layout_is_counted_by_the_csv(run, tmp_path, capsys):
    with h5py.File(run / "results" / "desi_crossmatches" / "healpix=1703" / "crossmatch_desi.hdf5") as file:
        spectra = np.transpose([file["desi/ra"][:], file["desi/dec"][:]])
    write_old_file(tmp_path, 1703, spectra)
    found = program(capsys, "--hdf5-root", tmp_path, "--csv", run / "t.csv")
    assert found == [HEADER, ["1703", "3", "2", "4"], ["no", "file", "3", "0", "0"], ["all", "6", "2", "4"]]
    status, message = program(capsys, "--hdf5-root", tmp_path)
    assert status == 1
    assert "crossmatch_1703.hdf5: no group with the CSV's columns" in message
    assert "the older layout: give the CSV with --csv" in message


def test_without_a_csv_little_is_imported(run):
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import count_crossmatches as c; from skyharvest.core import cli; "
    )
    code += "cli.run(c.main, c.build_parser(), ['--hdf5-root', sys.argv[1]]); "
    code += "print({'healpy', 'pandas', 'astropy', 'pyarrow', 'scipy'} & set(sys.modules))"
    command = [sys.executable, "-c", code, str(run / "results" / "desi_crossmatches")]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert made.stdout.splitlines()[-1] == "set()"


# --- What is wrong ---------------------------------------------------------------------------------------------------


def test_missing_files_are_the_users_to_find(tmp_path, capsys):
    with pytest.raises(InputError, match="nowhere is not a directory: give the one that holds healpix"):
        find_files(tmp_path / "nowhere")
    (tmp_path / "healpix=x").mkdir()
    (tmp_path / "healpix=x" / "crossmatch_desi.hdf5").touch()
    with pytest.raises(InputError, match=r"holds no healpix=\*/crossmatch_\*\.hdf5: has the run finished"):
        find_files(tmp_path)
    write_file(tmp_path, 1703, [(1, 2)])
    write_file(tmp_path, 99, [(1, 2)])
    assert list(find_files(tmp_path)) == [99, 1703]
    with pytest.raises(InputError, match=r"no healpix=5/crossmatch_\*\.hdf5; it has 2 pixels from 99 to 1703"):
        find_files(tmp_path, 5)
    assert program(capsys, "--hdf5-root", tmp_path, "--max-arcsec", "nan")[0] == 2


def rename(old, new):
    return lambda file: file.move(old, new)


def shorten(name):
    def spoil(file):
        values = file[name][:-1]
        del file[name]
        file[name] = values

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            rename("desi/ra", "desi/RA"),
            "/desi has no positions: expected ra, dec; found RA",
        ),
        (rename("desi", "hetdex"), "no group /desi; found chandra, hetdex"),
        (
            lambda file: file.attrs.pop("survey"),
            "expected edr_sv3_ra, .*: another version made it, run the workflow again",
        ),
        (shorten("desi/dec"), r"/desi/ra has shape \(3,\), /desi/dec \(2,\)"),
        (rename("chandra/RA_DESI", "chandra/RA"), "/chandra lacks RA_DESI or DEC_DESI; found DEC_DESI, RA, row"),
        (rename("chandra/row", "chandra/number"), r"no group with the CSV's columns \(`row`, and attributes ra_column"),
        (lambda file: file["chandra"].attrs.pop("ra_column"), "no group with the CSV's columns"),
        (shorten("chandra/row"), "/desi has 3 rows, the CSV's row, RA and Dec have 2, 3, 3"),
    ],
)
def test_files_without_positions_are_named(tmp_path, spoil, message):
    path = write_file(tmp_path, 7, [(1, 2)] * 3, [(1, 2)] * 3)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(MalformedFile, match=message) as raised:
        count_files(find_files(tmp_path), 1.0)
    assert str(raised.value).startswith(f"{path}: ")


def test_fewer_csv_rows_than_spectra_are_named(tmp_path):
    path = write_file(tmp_path, 7, [(1, 2)] * 3, [(1, 2)] * 2)
    with pytest.raises(MalformedFile, match="/desi has 3 rows, the CSV's row, RA and Dec have 2, 2, 2"):
        count_files(find_files(tmp_path), 1.0)
    assert count_csv(find_files(tmp_path), np.array([7]), np.array([1.0]), np.array([2.0]), 1.0) == {7: Count(1, 1, 3)}
    assert path.is_file()


@pytest.mark.parametrize("tear", ["truncated", "empty", "HTML", "damaged"])
def test_torn_files_are_named(tmp_path, tear):
    path = write_file(tmp_path, 7, np.ones((3000, 2)), np.ones((3000, 2)))
    with h5py.File(path, "r+") as file:
        values = file["desi/ra"][:]
        del file["desi/ra"]
        file["desi"].create_dataset("ra", data=values, chunks=(1000,), compression="gzip", fletcher32=True)
        start = file["desi/ra"].id.get_chunk_info(1).byte_offset
    data = bytearray(path.read_bytes())
    data[start : start + 20] = b"\xff" * 20
    spoilt = {"truncated": data[: len(data) // 2], "empty": b"", "HTML": b"<html>" * 500, "damaged": data}[tear]
    path.write_bytes(spoilt)
    for count in (
        lambda: count_files(find_files(tmp_path), 1.0),
        lambda: count_csv(find_files(tmp_path), np.zeros(0, int), np.zeros(0), np.zeros(0), 1.0),
    ):
        with pytest.raises(MalformedFile, match=r"crossmatch_desi\.hdf5 is .*remove it, the next run makes it anew"):
            count()

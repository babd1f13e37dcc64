"""Tables of targets that are no CSV: the same rows, types and errors as their CSV has, whatever the file is called."""

import bz2
import gzip
import lzma
import subprocess
from decimal import Decimal

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table

from skyharvest.core.errors import InputError
from skyharvest.targets.csv_rows import Names
from skyharvest.targets.pixel_columns import add_pix64
from skyharvest.targets.positions import read_positions
from skyharvest.targets.table import read_targets, summary, write_targets

N = 60
RNG = np.random.default_rng(5)
RA, DEC = RNG.uniform(0, 360, N), np.degrees(np.arcsin(RNG.uniform(-1, 1, N)))
Z = RNG.uniform(0, 3, N).astype("f4")
IDS = 2**60 + 2 * np.arange(N) + 1  # no float64 holds them


def catalogue():
    """A table with what astronomers' tables have; row 3 has no position, and row 5 none that is one."""
    ra = MaskedColumn(RA.copy(), mask=np.arange(N) == 3, unit="deg")
    ra[5] = 400
    return Table(
        {
            "RA_DESI": ra,
            "DEC_DESI": MaskedColumn(DEC, unit="deg"),
            "TARGETID": IDS,
            "z": MaskedColumn(Z, mask=np.arange(N) % 7 == 0),
            "obsid": MaskedColumn(np.arange(N, dtype="i4"), mask=np.arange(N) % 5 == 1),
            "name": [f"0{i}" if i % 2 else "" for i in range(N)],
            "good": np.arange(N) % 3 == 0,
            "samples": RNG.normal(size=(N, 4)),
        }
    )


FORMS = {
    "fits": {"format": "fits"},
    "vot": {"format": "votable"},
    "binary.vot": {"format": "votable", "tabledata_format": "binary2"},
    "ecsv": {"format": "ascii.ecsv"},
    "comma.ecsv": {"format": "ascii.ecsv", "delimiter": ","},
    "parquet": {"format": "parquet"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for form, how in FORMS.items():
        table = catalogue()
        if form == "parquet":  # astropy writes no columns of lists there
            del table["samples"]
        table.write(folder / f"t.{form}", **how)
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_as_its_csv(files, form, tmp_path):
    read = read_targets(files / f"t.{form}", targetid="TARGETID")
    assert read.n_rows == N
    assert [(bad.row, bad.reason) for bad in read.rejected] == [
        (3, "RA_DESI is empty"),
        (5, "RA_DESI is outside [-180, 360]: found '400'"),
    ]
    kept = np.array([i for i in range(N) if i not in (3, 5)])
    table = read.table
    assert table["row"].to_pylist() == kept.tolist(), "0-based rows of the table"
    np.testing.assert_array_equal(table["ra"], RA[kept])
    np.testing.assert_array_equal(table["DEC_DESI"], DEC[kept])
    assert table["TARGETID"].to_pylist() == IDS[kept].tolist()
    expected = catalogue()[kept]
    assert table["z"].to_pylist() == [None if value is np.ma.masked else float(value) for value in expected["z"]]
    assert table["obsid"].to_pylist() == expected["obsid"].tolist()
    assert table["name"].to_pylist() == expected["name"].tolist(), "text stays text"
    assert table["good"].to_pylist() == expected["good"].tolist()
    assert [str(table.schema.field(name).type) for name in ("TARGETID", "z", "obsid", "name", "good")] == [
        *("int64", "float", "int64", "string", "bool")
    ]
    remark = "column 'samples' is left out: it has 4 values in each row"
    assert read.remarks == ([] if form == "parquet" else [remark])
    assert "samples" not in read.columns
    assert ("\n".join(read.remarks) in summary(read, tmp_path)) is True
    write_targets(read, tmp_path)
    assert pq.read_table(tmp_path / "targets.parquet").equals(table)
    for ours, positions in zip(("row", "ra", "dec"), read_positions(files / f"t.{form}", Names()), strict=True):
        np.testing.assert_array_equal(table[ours], positions)
    forced = read_targets(files / f"t.{form}", text=["obsid", "TARGETID"]).table
    assert forced["obsid"].to_pylist()[:3] == ["0", "", "2"]
    assert forced["TARGETID"].to_pylist()[0] == str(IDS[0])


@pytest.mark.parametrize("form", FORMS)
def test_the_content_decides_and_not_the_name(files, form, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes((files / f"t.{form}").read_bytes())
    assert read_targets(path).table.equals(
        read_targets(files / f"t.{form}").table.replace_schema_metadata(read_targets(path).table.schema.metadata)
    )
    out = tmp_path / "with.csv"
    add_pix64(path, out, Names())
    again = read_targets(out, targetid="TARGETID").table
    assert again["TARGETID"].to_pylist() == read_targets(path).table["TARGETID"].to_pylist()
    np.testing.assert_array_equal(again["pix64"], again["csv_pix64"])


def zstd(content):
    codec = pa.Codec("zstd")
    return codec.compress(content[:1000], asbytes=True) + codec.compress(content[1000:], asbytes=True)  # two frames


PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_files(files, ending, tmp_path):
    lines = ["RA_DESI,DEC_DESI,name", *(f"{a},{d},Müller {i}" for i, (a, d) in enumerate(zip(RA, DEC, strict=True)))]
    plain = "\n".join(lines * 40).encode()
    (tmp_path / "plain.csv").write_bytes(plain)
    packed = tmp_path / f"t.csv.{ending}"
    packed.write_bytes(PACKED[ending](plain))
    found, expected = read_targets(packed), read_targets(tmp_path / "plain.csv")
    assert found.table.to_pylist() == expected.table.to_pylist()
    assert found.n_rows == expected.n_rows
    for form in ("fits", "vot"):
        path = tmp_path / f"t.{form}.{ending}"
        path.write_bytes(PACKED[ending]((files / f"t.{form}").read_bytes()))
        assert read_targets(path).table.to_pylist() == read_targets(files / f"t.{form}").table.to_pylist()
    with subprocess.Popen(["cat", packed], stdout=subprocess.PIPE) as process:
        with pytest.raises(InputError, match="-compressed, but its name does not end in"):
            read_targets(f"/dev/fd/{process.stdout.fileno()}")
        process.kill()
    packed.write_bytes(packed.read_bytes()[: len(packed.read_bytes()) // 2])
    with pytest.raises(InputError, match=rf"cannot read .*{ending}: .*is it complete"):
        read_targets(packed)
    packed.write_bytes(plain)
    with pytest.raises(InputError, match=rf"is named \.{ending}, but is not "):
        read_targets(packed)


def test_the_first_table_that_has_the_columns_is_read(tmp_path):
    other = fits.table_to_hdu(Table({"x": [1.0]}))
    image = fits.CompImageHDU(np.zeros((20, 20), "i2"))
    wanted = fits.table_to_hdu(Table({"RA_DESI": [10.0], "DEC_DESI": [20.0]}))
    wanted.name = "SOURCES"
    path = tmp_path / "t.fits"
    fits.HDUList([fits.PrimaryHDU(), image, other, wanted]).writeto(path)
    read = read_targets(path)
    assert read.table["ra"].to_pylist() == [10]
    assert read.remarks == ["of its tables, HDU 2, HDU 3 SOURCES, HDU 3 SOURCES is read"]
    with pytest.raises(InputError, match=r"no column 'ra' for RA; .*columns are: x"):
        read_targets(path, "ra", "dec")
    fits.HDUList([fits.PrimaryHDU(np.zeros((3, 3)))]).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="is a FITS file without a table of targets"):
        read_targets(tmp_path / "image.fits")


@pytest.mark.parametrize("form", ["fits", "vot", "ecsv", "parquet"])
@pytest.mark.parametrize("unit", ["hourangle", "rad"])
def test_positions_in_other_units_are_refused(tmp_path, form, unit):
    path = tmp_path / f"t.{form}"
    if (form, unit) == ("fits", "hourangle"):
        table = Table({"RA_DESI": RA / 15 * u.h, "DEC_DESI": DEC * u.deg})
    else:
        table = Table({"RA_DESI": RA * u.deg.to(unit) * u.Unit(unit), "DEC_DESI": DEC * u.deg})
    table.write(path, **FORMS[form])
    with pytest.raises(InputError, match=r"unit of column 'RA_DESI' is (h|hourangle|15 deg|rad), expected degrees"):
        read_targets(path)


def test_sky_coordinates_in_ecsv_are_two_columns(tmp_path):
    QTable({"at": SkyCoord(RA, DEC, unit="deg"), "flux": RA * u.Jy}).write(tmp_path / "t.ecsv")
    read = read_targets(tmp_path / "t.ecsv", "at.ra", "at.dec")
    np.testing.assert_array_equal(read.table["ra"], RA)
    np.testing.assert_array_equal(read.table["flux"], RA)


def test_types_of_parquet(tmp_path):
    columns = {
        "RA_DESI": pa.array([10.0, 20.0], pa.float32()),
        "DEC_DESI": pa.array(["1.5", "2.50"]),
        "u64": pa.array([2**63, 1], pa.uint64()),
        "small": pa.array([2**63 - 1, None], pa.uint64()),
        "dictionary": pa.array(["a", None]).dictionary_encode(),
        "decimal": pa.array([Decimal("1.20"), Decimal("2.30")]),
        "day": pa.array([0, 1], pa.date32()),
        "bytes": pa.array([b"NGC 1", b"\xff"]),
        "half": pa.array(np.array([1, 2], "f2")),
        "list": pa.array([[1], [2, 3]]),
        "nothing": pa.nulls(2),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    read = read_targets(tmp_path / "t.parquet")
    found = {name: read.table[name].to_pylist() for name in read.columns}
    assert found == {
        **{"RA_DESI": [10, 20], "DEC_DESI": [1.5, 2.5], "u64": [str(2**63), "1"], "small": [2**63 - 1, None]},
        **{"dictionary": ["a", ""], "decimal": [1.2, 2.3], "day": ["1970-01-01", "1970-01-02"]},
        **{"bytes": ["NGC 1", "\\xff"], "half": [1, 2], "nothing": ["", ""]},
    }
    assert read.remarks == ["column 'list' is left out: it holds list<element: int64>"]
    with pytest.raises(InputError, match=r"column 'list' cannot be used, for it holds list"):
        read_targets(tmp_path / "t.parquet", healpix="list")
    twice = pa.Table.from_arrays([*columns.values(), pa.array([1, 2])], [*columns, "u64"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="more than one column is called 'u64'"):
        read_targets(tmp_path / "twice.parquet")


def test_targetids_that_a_float_has_rounded_are_no_targetids(tmp_path):
    Table({"RA_DESI": RA, "DEC_DESI": DEC, "TARGETID": IDS.astype(float)}).write(tmp_path / "t.fits")
    with pytest.raises(InputError, match=r"none of its 60 rows .*a float does not hold all digits of a TARGETID"):
        read_targets(tmp_path / "t.fits", targetid="TARGETID")


@pytest.mark.parametrize("form", ["fits", "vot", "ecsv", "parquet"])
def test_torn_tables_are_errors_that_say_so(files, form, tmp_path):
    whole = (files / f"t.{form}").read_bytes()
    path = tmp_path / f"t.{form}"
    for kept in (3000, len(whole) * 2 // 3, len(whole) - 20 if form != "fits" else len(whole) - 2880):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=rf"{path} is an? .*is it complete\?"):
            read_targets(path)


def test_an_error_document_of_a_service_is_no_table(tmp_path):
    (tmp_path / "t.vot").write_text(
        '<?xml version="1.0"?>\n<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">no</INFO></RESOURCE></VOTABLE>'
    )
    with pytest.raises(InputError, match="is a VOTable without a table"):
        read_targets(tmp_path / "t.vot")


def test_a_nul_ends_a_text_of_fits(tmp_path):
    names = np.array([b"ab\0zz", b"abcde"], "S5")
    columns = [fits.Column("ra", "D", array=[1.0, 2.0]), fits.Column("dec", "D", array=[1.0, 2.0])]
    fits.BinTableHDU.from_columns([*columns, fits.Column("name", "5A", array=names)]).writeto(tmp_path / "t.fits")
    assert read_targets(tmp_path / "t.fits", ra="ra", dec="dec").table["name"].to_pylist() == ["ab", "abcde"]


def test_text_of_parquet_that_no_file_can_hold(tmp_path):
    positions = {"ra": [1.0, 2.0], "dec": [1.0, 2.0]}
    pq.write_table(pa.table(positions | {"name": ["a\0b", "c"]}), tmp_path / "t.parquet")
    read = read_targets(tmp_path / "t.parquet", ra="ra", dec="dec")
    assert read.columns == ["ra", "dec"]
    assert "name" in summary(read, tmp_path)
    assert "NUL" in summary(read, tmp_path)
    buffers = [*pa.array(["é", "c"]).buffers()[:2], pa.py_buffer(b"\xe9\xe9c")]
    broken = pa.Array.from_buffers(pa.string(), 2, buffers)
    pq.write_table(pa.table(positions | {"name": broken}), tmp_path / "u.parquet")
    with pytest.raises(InputError, match=r"is a Parquet file, but cannot be read .*UTF8"):
        read_targets(tmp_path / "u.parquet", ra="ra", dec="dec")

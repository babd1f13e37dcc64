"""What comes from elsewhere may be wrong in any way: it ends in a clear error, a recorded coadd or a rejected row.

Files that lie in known ways are in tests/unit, with the module that reads them; here they are fuzzed, through the whole
of what reads them, and nothing may be written anywhere but where results belong.
"""

import csv
import gzip
import logging
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyharvest.archive.archive import Archive
from skyharvest.archive.http.file import split_parts
from skyharvest.archive.http.response import Response, TryAgain, parse_content_range, retry_after_s
from skyharvest.config.load import validate
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.harvest import ledger
from skyharvest.surveys.desi import extract, selection
from skyharvest.surveys.desi.coadd import Coadd
from skyharvest.surveys.desi.plan import make_plan, read_tilepix
from skyharvest.surveys.desi.wanted import Positions, Wanted
from skyharvest.targets.table import read_targets, write_targets
from small_release import (
    RELEASE,
    Layout,
    coadd_files,
    edit,
    harvest,
    inside,
    near,
    path_of,
    simulated,
    write,
    write_list,
)

ROOT = Path(__file__).resolve().parents[2]
PIX = 27247
BOUNDED = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(selection, "SECOND_READING_S", 0)
    logging.disable(logging.WARNING)  # fuzzing is loud
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A coadd, its redrock file and the list of coadds; nobody writes here."""
    root = tmp_path_factory.mktemp("sound")
    write(root, simulated(4))
    write_list(root, [("main", "dark", PIX), ("sv3", "bright", PIX)])
    return root


DARK = simulated(4)
FILES = {"coadd": path_of(DARK), "redrock": path_of(DARK, "redrock"), "tilepix": RELEASE.tilepix()}


def headers(path: Path) -> list[tuple[int, int]]:
    """Return where each header of a FITS file begins and ends."""
    with LocalFile(path) as source:
        return [(hdu.start, hdu.data_start) for hdu in FitsFile(source).hdus]


def with_card(data: bytes, header: tuple[int, int], keyword: str, value: str) -> bytes:
    """Return a file with one card of one header replaced."""
    cards = [data[k : k + 80] for k in range(*header, 80)]
    at = next(k for k, card in enumerate(cards) if card[:8].decode().strip() == keyword)
    cards[at] = f"{keyword:<8}= {value}".encode("latin-1").ljust(80)[:80]
    return data[: header[0]] + b"".join(cards) + data[header[1] :]


def spoilt(sound: Path, root: Path, kind: str, data: bytes) -> Path:
    """Return an archive in which one file is this."""
    for name in FILES.values():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((sound / name).read_bytes())
    (root / FILES[kind]).write_bytes(data)
    return root


def extracted(root: Path) -> str:
    """Extract one match; return the coadd's status, after checking that the file is one that can be worked with."""
    ra, dec = near(DARK, 1, 0.2)
    targets = Positions(np.array([7]), np.array([ra]), np.array([dec]))
    with Archive(str(root)) as archive:
        (chosen,) = extract.extract(
            archive, coadd_files([FILES["coadd"]]), root / "out.hdf5", Wanted(targets, record_missing=True)
        )
    with h5py.File(root / "out.hdf5") as file:
        assert file["files/status"][0].decode() == chosen.status
        assert (chosen.reason == "") == (chosen.status == "read" and not chosen.without)
        assert str(root) not in chosen.reason
        assert chosen.reason.isprintable()
        assert file["targets/row"][:].tolist() == [7]
        n = len(file["file"])
        assert file["targets/n_spectra"][:].tolist() == [n]
        if chosen.status == "read":
            for name in ("targetid", "separation_arcsec", "fibermap/TARGETID", "redshifts/Z", "b/flux", "z/mask"):
                assert name not in file or len(file[name]) == n
    return chosen.status


# --- FITS ------------------------------------------------------------------------------------------------------------

NUMBERS = ["0", "-1", "1", "2", "999", "1000", "1E400", "NAN", "-INF", "1.5", "T", "4611686018427387904"]
NUMBERS += ["9223372036854775808", "9" * 60, "'x'", ""]
FORMS = ["'99999999999J'", "'999999999999999999999A'", "'1PJ(9)'", "'-1J'", "'0D'", "'7X'", "'2D'", "'2147483647A'"]
NAMES = ["'a/b'", "'../../x'", "'.'", "'..'", "'/etc/x'", "'a\0b'", "'\x1b[2J'", "''", "'TARGETID'", "'\xc5'"]
NAMES += ["'spectrum_flux'", "'B_FLUX'", "'row'"]


@BOUNDED
@given(st.data())
@pytest.mark.parametrize("kind", ["coadd", "redrock"])
def test_headers_that_lie_are_recorded(sound, tmp_path, kind, data):
    """Any cards of any headers, replaced by hostile values."""
    content = (sound / FILES[kind]).read_bytes()
    places = headers(sound / FILES[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        header = data.draw(st.sampled_from(places))
        keywords = {content[k : k + 8].decode().strip() for k in range(*header, 80)} - {"", "END", "COMMENT", "SIMPLE"}
        keyword = data.draw(st.sampled_from(sorted(keywords)))
        value = data.draw(
            st.sampled_from([*NUMBERS, *FORMS, *NAMES])
            | st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=70)
        )
        content = with_card(content, header, keyword, value)
    assert extracted(spoilt(sound, tmp_path, kind, content)) in ("read", "unreadable")


@BOUNDED
@given(st.data())
@pytest.mark.parametrize("kind", ["coadd", "redrock"])
def test_tables_of_any_content_are_read_or_recorded(sound, tmp_path, kind, data):
    """Positions that are NaN or nowhere, TARGETIDs there twice, wavelengths of any kind: any bytes between headers."""
    content = bytearray((sound / FILES[kind]).read_bytes())
    places = headers(sound / FILES[kind])
    start, stop = data.draw(st.sampled_from([(a, b) for (_, a), (b, _) in pairwise(places) if b > a]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(start, stop - 1))
        new = data.draw(
            st.sampled_from([b"\xff" * 8, b"\0" * 400, b"\x7f\xf0" + b"\0" * 6]) | st.binary(min_size=1, max_size=40)
        )
        content[at : min(at + len(new), stop)] = new[: stop - at]
    with np.errstate(all="ignore"):
        assert extracted(spoilt(sound, tmp_path, kind, bytes(content))) in ("read", "unreadable")


@pytest.mark.parametrize(
    ("name", "keyword", "value", "message"),
    [
        ("FIBERMAP", "TFORM1", "'99999999999J'", "TFORM1 is '99999999999J', expected a binary table format"),
        ("FIBERMAP", "TFORM1", "'1PJ(9)'", "column TARGETID has a type"),
        ("FIBERMAP", "TFORM1", "'D'", "column TARGETID holds float64 in a row, expected a whole number"),
        ("FIBERMAP", "TFORM1", "'8A'", "column TARGETID holds .S8 in a row, expected a whole number"),
        ("FIBERMAP", "NAXIS2", "99999999999999", "it is truncated"),
        ("FIBERMAP", "PCOUNT", "2305843009213693952", "HDUs B_WAVELENGTH, B_FLUX, B_IVAR, B_MASK missing"),
        ("B_MASK", "BZERO", "NAN", r"\[B_MASK\]: BZERO is nan, expected a number"),
        ("B_MASK", "BZERO", "1.5", r"\[B_MASK\]: holds float64: no mask"),
        ("R_FLUX", "NAXIS", "-2", r"\[R_FLUX\]: NAXIS is -2"),
        ("R_FLUX", "NAXIS", "999", r"\[R_FLUX\]: NAXIS999 is None"),
        ("Z_WAVELENGTH", "NAXIS1", "0", "expected a FITS header"),
    ],
)
def test_a_lying_header_is_named(sound, tmp_path, name, keyword, value, message):
    content = (sound / FILES["coadd"]).read_bytes()
    with LocalFile(sound / FILES["coadd"]) as source:
        hdu = FitsFile(source)[name]
    content = with_card(content, (hdu.start, hdu.data_start), keyword, value)
    (tmp_path / "coadd-main-dark-1.fits").write_bytes(content)
    with LocalFile(tmp_path / "coadd-main-dark-1.fits") as source, pytest.raises(MalformedFile, match=message) as error:
        Coadd(source).small_tables()
    assert "coadd-main-dark-1.fits" in str(error.value)


def test_a_lying_name_of_an_image_is_shown_harmlessly(sound, tmp_path):
    content = (sound / FILES["coadd"]).read_bytes()
    with LocalFile(sound / FILES["coadd"]) as source:
        hdu = FitsFile(source)["B_FLUX"]
    (tmp_path / "x.fits").write_bytes(with_card(content, (hdu.start, hdu.data_start), "EXTNAME", "'B\0FLUX'"))
    with LocalFile(tmp_path / "x.fits") as source:
        lacks = Coadd(source).lacks
    assert list(lacks) == ["arm b"]
    assert re.search(r"HDU B_FLUX missing; found .*, B\?FLUX, ", lacks["arm b"])


def test_headers_that_claim_what_a_huge_file_holds_cost_no_memory(sound, tmp_path):
    """A sparse file of a terabyte: the headers are true, and absurd."""
    whole = (sound / FILES["coadd"]).read_bytes()
    for name, keyword, message in (
        ("FIBERMAP", "NAXIS2", r"claims 2,000,000,000 rows of 317 bytes: no such table"),
        ("B_WAVELENGTH", "NAXIS1", r"has 2000000000 pixels, expected at most 7781"),
    ):
        with LocalFile(sound / FILES["coadd"]) as source:
            hdu = FitsFile(source)[name]
        content = with_card(whole, (hdu.start, hdu.data_start), keyword, "2000000000")
        path = tmp_path / "huge.fits"
        rest = whole[hdu.stop :]
        with path.open("wb") as stream:
            stream.write(content[: hdu.data_start])
            stream.seek(hdu.data_start + -(-2_000_000_000 * hdu.row_bytes // 2880) * 2880)
            stream.write(rest)
        with LocalFile(path) as source, pytest.raises(MalformedFile, match=message):
            Coadd(source).small_tables()


@BOUNDED
@given(st.data())
def test_a_list_of_coadds_names_no_paths(sound, tmp_path, data):
    """tilepix.fits with any SURVEY, PROGRAM, HEALPIX, and any cards: what it lists are names and pixels."""
    content = (sound / FILES["tilepix"]).read_bytes()
    header = headers(sound / FILES["tilepix"])[1]
    if data.draw(st.booleans()):
        keyword = data.draw(
            st.sampled_from([f"{name}{k}" for name in ("TFORM", "TTYPE") for k in range(1, 6)] + ["NAXIS2"])
        )
        content = with_card(content, header, keyword, data.draw(st.sampled_from([*NUMBERS, *FORMS, *NAMES])))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(header[1], len(content) - 1))
        new = data.draw(st.sampled_from([b"../../x", b"/etc/", b"\xff\xff", b"ma/n", b"DARK"]))
        content = content[:at] + new + content[at + len(new) :]
    path = tmp_path / "tilepix.fits"
    path.write_bytes(content)
    try:
        listed = read_tilepix(path, 64)
    except MalformedFile as error:
        assert "tilepix.fits" in str(error)
        return
    for names in (listed.survey, listed.program):
        assert all(name.isalnum() and name.isascii() and name == name.lower() for name in names.tolist())
    assert all(0 <= pix < 49152 for pix in listed.pix64.tolist())
    targets = {"row": np.arange(1), "ra": np.array([149.5]), "dec": np.array([1.8]), "pix16": np.array([1702])}
    try:
        plan = make_plan(listed, targets, nside=64, surveys=["main"], programs=["dark"], radius_arcsec=1.0)
    except InputError as error:
        assert "lists no coadd" in str(error)
    else:
        assert set(plan.coadds.survey.tolist()) <= {"main"}


def test_paths_in_the_list_of_coadds_are_left_out_with_a_warning(tmp_path, caplog):
    logging.disable(logging.NOTSET)
    path = write_list(tmp_path, [("main", "dark", pix) for pix in range(4)])

    def change(hdus):
        hdus[1].data["SURVEY"][4:8] = "../x"
        hdus[1].data["PROGRAM"][8:12] = "da/k"
        hdus[1].data["SURVEY"][12:] = ""

    edit(path, change)
    listed = read_tilepix(path, 64)
    assert listed.survey.tolist() == ["main"]
    assert listed.program.tolist() == ["dark"]
    assert "12 of 16 rows are left out, as survey " in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ["a/b", "../../etc/x", ".", "..", " "],
        ["SPECTRUM_FLUX", "b_mask", "Z_Lambda"],
        ["row", "primary", "survey"],
        ["CASE", "case"],
    ],
)
def test_columns_with_hostile_names_stay_columns(tmp_path, names):
    """From FIBERMAP and from the CSV alike, down to the assembled file."""
    ra, dec = inside(PIX, 3)
    coadd = simulated(2, at=([ra, ra], [dec, dec + 0.01]))
    write(tmp_path, coadd, extra_columns={name: np.array([5, 6], np.int16) for name in names})
    write_list(tmp_path, [("main", "dark", PIX)])
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        written = csv.writer(stream)
        columns = [name for name in names if name.strip()]
        written.writerow(["RA_DESI", "DEC_DESI", *columns])
        written.writerow([*near(coadd, 1, 0.2), *([7] * len(columns))])
    before = set(tmp_path.rglob("*"))
    harvest(tmp_path, tmp_path / "t.csv", tmp_path / "results", programs=["dark"], layout=Layout(arms=True))
    new = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} - {path.relative_to(tmp_path) for path in before}
    assert {path.parts[0] for path in new} == {"results"}
    with h5py.File(tmp_path / f"results/desi/extracted/{PIX // 100}/{PIX}.hdf5") as file:
        kept = {
            file["fibermap"][link].attrs.get("column", link): file["fibermap"][link][:].tolist()
            for link in file["fibermap"]
        }
        assert all(kept[name.strip() or "_"] == [6] for name in names if name.strip())
    with h5py.File(next((tmp_path / "results/desi_crossmatches").rglob("*.hdf5"))) as file:
        assert file["desi/spectrum_flux"].shape == (1, 7781)
        assert file["desi/b_mask"].shape == (1, 2751)
        of_csv = {
            file["chandra"][link].attrs.get("column", link): file["chandra"][link][:].tolist()
            for link in set(file["chandra"]) - {"row"}
        }
        assert all(of_csv[name] == [7] for name in columns)
        assert file["chandra/row"][:].tolist() == [0]
        if names[0] == "CASE":
            assert {"case", "case_2"} <= set(file["desi"])


def test_a_column_of_another_shape_costs_itself_and_no_spectrum(tmp_path):
    dark, bright = simulated(3), simulated(3, "bright", seed=2)
    write(tmp_path, dark, extra_columns={"NEW": np.arange(3)})
    write(tmp_path, bright, extra_columns={"NEW": np.ones((3, 4))})
    places = [near(dark, 1, 0.2), near(bright, 0, 0.2)]
    targets = Positions(np.arange(2), *np.transpose(places))
    paths = [path_of(dark), path_of(bright)]
    with Archive(str(tmp_path)) as archive:
        first, second = extract.extract(
            archive, coadd_files(paths), tmp_path / "out.hdf5", Wanted(targets, record_missing=True)
        )
    assert (first.status, len(first.fiber), second.status) == ("read", 1, "read")
    assert (first.without, second.without) == ([], ["column NEW"])
    assert second.reason == f"{paths[1]}: column NEW has another shape or type than in the pixel's other coadds"
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert file["fibermap/NEW"][:].tolist() == [1, *[0] * len(second.fiber)]
        assert file["fibermap/TARGET_RA"][:].tolist() == first.fibermap["TARGET_RA"].tolist() + (
            second.fibermap["TARGET_RA"].tolist()
        )


# --- The archive's answers -------------------------------------------------------------------------------------------

header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
ranges_text = st.from_regex(r"bytes ?[0-9\xb2-]{0,30}-[0-9\xb2]{0,30}/[0-9*\xb2]{0,6000}", fullmatch=True)


@settings(max_examples=400, deadline=None)
@given(
    header_text
    | ranges_text
    | st.sampled_from(["nan", "-1", "1e999", "Fri, 31 Dec 99999 23:59:59 GMT", "bytes 9-5/10"])
)
def test_headers_of_answers_are_numbers_or_nothing(text):
    wait = retry_after_s(text)
    assert wait is None or wait >= 0
    span = parse_content_range(text)
    assert span is None or 0 <= span[0] < span[1]

    class Raw:
        status = 200
        headers = {"Content-Length": text}  # noqa: RUF012 (nobody changes it)

    length = Response(Raw(), OSError, 1.0, lambda _n_bytes: None, lambda _n_bytes, _seconds: None).content_length()
    assert length is None or length >= 0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.data())
def test_answers_in_parts_are_parts_or_tried_again(body, data):

    pieces = st.sampled_from(
        [b"--b", b"\r\n", b"\r\n\r\n", b"Content-Range: bytes 0-9/80", b"Content-Range: bytes 9-0/8", b"--", body]
    )
    body = b"".join(data.draw(st.lists(pieces, max_size=12)))
    try:
        parts = split_parts(body, "multipart/byteranges; boundary=b")
    except TryAgain:
        return
    assert all(content in body for _, content, _ in parts)


# --- CSV -------------------------------------------------------------------------------------------------------------

CSV = ("name,RA_DESI,DEC_DESI,note\n" + "".join(f'"x {k}",{k}.5,-{k},"a, ""b"""\n' for k in range(6))).encode()
HOSTILE = [b"\0", b'"', b"\n", b"\r", b",", b"\xff", b"=1+1", b"-", b"1e999", b"nan", b"\xef\xbb\xbf", b"x" * 300]


@BOUNDED
@given(st.data())
def test_any_csv_is_an_error_or_has_every_row_once(tmp_path, data):
    content = bytearray(CSV)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 6))
        content[at : at + gone] = data.draw(st.sampled_from(HOSTILE) | st.binary(max_size=6))
    path = tmp_path / data.draw(st.sampled_from(["t.csv", "t.csv.gz"]))
    packed = bytearray(gzip.compress(bytes(content), mtime=0) if path.suffix == ".gz" else content)
    if path.suffix == ".gz" and data.draw(st.booleans()):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(packed))
    try:
        read = read_targets(path)
    except InputError as error:
        assert str(path) in str(error)
        return
    rows = read.table.column("row").to_pylist() + [bad.row for bad in read.rejected]
    assert sorted(rows) == list(range(read.n_rows))
    out = tmp_path / "targets"
    write_targets(read, out)
    assert ledger._rejected_rows(out / "rejected.csv").tolist() == [bad.row for bad in read.rejected]
    assert {entry.name for entry in tmp_path.iterdir()} <= {"t.csv", "t.csv.gz", "targets"}


def test_formulas_and_nuls_are_rejected_as_positions_and_text_elsewhere(tmp_path):
    formula = '=HYPERLINK("http://x/","y")'
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ["name", "RA_DESI", "DEC_DESI"],
                [formula, "1", "2"],
                ["=cmd|' /C calc'!A0", "1.5", "2"],
                ["a", "=1+1", "2"],
                ["b", "@SUM(1)", "+cmd"],
                ["c\0", "1", "2"],
                ["-2+3", "1", "\t2"],
            ]
        )
    read = read_targets(tmp_path / "t.csv")
    assert read.table.column("name").to_pylist() == [formula, "=cmd|' /C calc'!A0", "-2+3"]
    reasons = {bad.row: bad.reason for bad in read.rejected}
    assert reasons[2] == "RA_DESI is not a number: found '=1+1'"
    assert reasons[3] == "RA_DESI is not a number: found '@SUM(1)'; DEC_DESI is not a number: found '+cmd'"
    assert reasons[4] == r"name holds NUL: found 'c\x00'"


# --- Configuration ---------------------------------------------------------------------------------------------------

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4) | st.dates()
)
keys = st.sampled_from(["targets", "csv", "desi", "surveys", "match", "globus", "spectra", "radius_arcsec"]) | scalars
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@settings(max_examples=300, deadline=None)
@given(documents)
def test_any_document_is_a_configuration_or_an_explained_error(document):
    """Whatever YAML holds, keys that are no text among it."""
    try:
        filled = validate(document)
    except InputError as error:
        assert str(error).startswith("the configuration has ")
    else:
        assert filled["targets"]["csv"]


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [PWNED]]",
        "!!python/object/apply:os.system ['touch PWNED']",
        "!!python/object/new:subprocess.Popen [[touch, PWNED]]",
    ],
)
def test_yaml_tags_run_nothing(tmp_path, text):
    """In the configuration, as Snakemake reads it, and in the registry of releases, as this library does."""
    from snakemake.common.configfile import load_configfile
    from snakemake_interface_common.exceptions import WorkflowError

    from skyharvest.config.registry import load_registry
    from skyharvest.surveys.desi.release import load_release

    path = tmp_path / "my.yaml"
    path.write_text(f"targets: {{csv: {text}}}\n")
    with pytest.raises(WorkflowError, match="not valid JSON or YAML"):
        load_configfile(path)
    path.write_text(f"dr1: {text}\n")
    for read in (load_registry, lambda registry: load_release("dr1", registry)):
        with pytest.raises(InputError, match="could not determine a constructor for the tag"):
            read(path)
    path.write_text("targets: {csv: !!python/name:os.system '', ra: !!python/tuple [1, 2], dec: 2024-01-01}\n")
    try:
        document = yaml.load(path.read_text(), Loader=yaml.FullLoader)  # as Snakemake does
    except yaml.YAMLError:
        document = {"targets": {"csv": sys.exit}}
    with pytest.raises(InputError, match=r"targets\.csv: found .*; expected text"):
        validate(document)
    assert [entry.name for entry in tmp_path.iterdir()] == ["my.yaml"]


def test_a_config_file_with_a_tag_ends_in_a_clear_error(tmp_path):
    (tmp_path / "my.yaml").write_text("targets: {csv: !!python/object/apply:os.system ['touch PWNED']}\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "-n", "--configfile", "my.yaml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Config file is not valid JSON or YAML" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "PWNED").exists()

"""Many pixels in one job: each is kept, fails and is resumed by itself, and holds up only what is made of it."""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import harvest_desi
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyharvest.archive.archive import Archive
from skyharvest.archive.download import downloaded
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveUnavailable, HarvestError
from skyharvest.harvest.done import done_for
from skyharvest.harvest.extracted import COLUMNS, content_of, has_data, lines_of, listed, remove_data
from skyharvest.surveys.desi import extract, selection
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.batch import files_of
from skyharvest.surveys.desi.plan import NO_TARGETID, TARGET_DTYPE
from skyharvest.surveys.desi.wanted import Positions, Wanted
from small_release import RELEASE, assemble_nothing, coadd_files, extract_batch, near, path_of, simulated, write

PIXELS = (27244, 27245, 27246)
PARTS = {1: [27244, 27245], 2: [27245], 3: [27246]}  # what is assembled of them; one is needed twice
COADDS = {pix64: simulated(4, pix64=pix64, seed=pix64) for pix64 in PIXELS}
ASKED = {pix64: [path_of(coadd), RELEASE.coadd("main", "backup", pix64)] for pix64, coadd in COADDS.items()}
WANTED = Wanted(record_missing=True)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(selection, "SECOND_READING_S", 0)
    for coadd in COADDS.values():
        write(tmp_path / "archive", coadd)
    write_targets(tmp_path)
    return tmp_path


def write_targets(root: Path, per_pixel: int = 2) -> None:
    """Write a plan with positions at the first fibers of every coadd."""
    pairs = [(pix64, k, *near(COADDS[pix64], k, 0.3), NO_TARGETID) for pix64 in PIXELS for k in range(per_pixel)]
    table = np.zeros(len(pairs), TARGET_DTYPE)
    for i, (pix64, k, ra, dec, targetid) in enumerate(pairs):
        table[i] = tuple(
            {"pix64": pix64, "row": k, "ra": ra, "dec": dec, "targetid": targetid}[n] for n in table.dtype.names
        )
    np.save(root / "plan_targets.npy", table)


def run(root: Path, wanted: Wanted = WANTED, pixels=ASKED, **how) -> list[tuple[int, ...]]:
    with Archive(str(root / "archive")) as archive:
        plan = root / "plan_targets.npy"
        return extract_batch(archive, pixels, plan, root / "extracted", wanted, **({"searched": PARTS} | how))


def assembled(root: Path) -> dict[int, int]:
    """Return when each assembled file was written."""
    paths = {part: DESI.crossmatch(root / "assembled", part) for part in PARTS}
    return {part: path.stat().st_mtime_ns for part, path in paths.items() if path.exists()}


def written(root: Path) -> dict[int, int]:
    """Return when each file was written."""
    paths = {pix64: DESI.path(root / "extracted", pix64) for pix64 in PIXELS}
    return {pix64: path.stat().st_mtime_ns for pix64, path in paths.items() if path.exists()}


def changed(root: Path, before: dict[int, int]) -> set[int]:
    return {pix64 for pix64, when in written(root).items() if before.get(pix64) != when}


def test_every_pixel_is_what_it_is_alone(root, tmp_path):
    assert [line[:-1] for line in run(root)] == [(pix64, 2, 1, 1, 0, 0, 0) for pix64 in PIXELS]
    for pix64 in PIXELS:
        alone = replace(WANTED, targets=Positions.of_pixel(root / "plan_targets.npy", pix64))
        with Archive(str(root / "archive")) as archive:
            extract.extract(archive, coadd_files(ASKED[pix64]), tmp_path / "alone.hdf5", alone)
        made = DESI.path(root / "extracted", pix64)
        assert made.read_bytes() == (tmp_path / "alone.hdf5").read_bytes()


def refuse(monkeypatch, pix64: int, error: Exception) -> None:
    """Let a pixel's coadds fail to open."""
    real = Archive.open

    def opened(self: Archive, path: str):
        if f"/{pix64}/" in path:
            raise error
        return real(self, path)

    monkeypatch.setattr(Archive, "open", opened)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ArchiveUnavailable("gone for now"), ArchiveUnavailable),
        (OSError(5, "Input/output error"), HarvestError),
        (ZeroDivisionError("a bug"), HarvestError),
    ],
)
def test_a_pixel_that_fails_is_the_only_one_to_be_tried_again(root, error, kind):
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, 27245, error)
        with pytest.raises(kind, match=r"1 of 3 pixels failed, the other 2 are kept.*27245: ") as caught:
            run(root)
        assert type(caught.value) is kind
        assert str(error) in str(caught.value)
    before, parts = written(root), assembled(root)
    assert set(before) == {27244, 27246}
    assert set(parts) == {3}
    assert [line[0] for line in run(root)] == list(PIXELS)
    assert changed(root, before) == {27245}
    assert set(assembled(root)) == set(PARTS)
    assert assembled(root)[3] == parts[3]


def test_a_part_that_cannot_be_assembled_is_the_only_one_to_be_tried_again(root):
    def fail(part: int, extracted: list[Path], out: Path, made_from: str) -> None:
        if part == 2:
            raise OSError(5, "Input/output error")
        assemble_nothing(part, extracted, out, made_from)

    with pytest.raises(HarvestError, match=r"1 of 3 NSIDE=16 pixels could not be assembled: 2: .*Input.output error"):
        run(root, assemble=fail)
    before, parts = written(root), assembled(root)
    assert set(parts) == {1, 3}
    run(root)
    assert changed(root, before) == set()
    assert assembled(root).keys() == set(PARTS)
    assert {part: assembled(root)[part] for part in parts} == parts


def test_what_was_asked_for_anew_is_read_anew(root):
    """As by `snakemake --forcerun harvest_desi`: nothing is missing, and an earlier job has ended."""
    run(root)
    before, parts = written(root), assembled(root)
    run(root)
    assert (changed(root, before), assembled(root)) == (set(), parts)
    run(root, was_done=True)
    assert changed(root, before) == set(PIXELS)
    assert {part for part, when in assembled(root).items() if when != parts[part]} == set(PARTS)


def test_a_part_is_made_again_for_other_pixels_csv_or_settings_and_what_is_beside_it(root):
    meaning = {"csv_sha256": "a", "config_hash": "b"}

    def parts_made(**how) -> set[int]:
        parts = assembled(root)
        run(root, **({"meaning": meaning} | how))
        return {part for part, when in assembled(root).items() if when != parts.get(part)}

    assert parts_made() == set(PARTS)
    assert parts_made() == set()
    for key in meaning:
        assert parts_made(meaning=meaning | {key: "other"}) == set(PARTS)
    parts_made()
    DESI.crossmatch(root / "assembled", 3).unlink()
    assert parts_made(was_done=True) == {3}
    write_targets(root, per_pixel=3)
    assert parts_made() == set(PARTS)

    def with_map(part: int, extracted: list[Path], out: Path, made_from: str) -> None:
        assemble_nothing(part, extracted, out, made_from)
        out.with_name("map").mkdir()

    assert parts_made(beside=["map"], assemble=with_map) == set(PARTS)
    DESI.crossmatch(root / "assembled", 2).with_name("map").rmdir()
    assert parts_made(beside=["map"], assemble=with_map) == {2}


def test_without_spectra_a_file_says_what_it_was_and_is_read_again_only_for_what_is_made_of_it(root):
    run(root)
    parts = assembled(root)
    for pix64 in PIXELS:
        path = DESI.path(root / "extracted", pix64)
        whole, line = content_of(path), listed(pix64, path)
        with h5py.File(path) as file:
            lines = lines_of(file, pix64)
        when = path.stat().st_mtime_ns
        remove_data(path)
        assert path.stat().st_mtime_ns == when, "else all are opened whenever the workflow is parsed"
        with h5py.File(path) as file:
            assert lines_of(file, pix64) == lines
        assert (content_of(path), listed(pix64, path), has_data(path)) == (whole, line, False)
    before = written(root)
    remove_data(DESI.path(root / "extracted", 27244))  # once is enough
    run(root)
    assert (changed(root, before), assembled(root)) == (set(), parts)
    DESI.crossmatch(root / "assembled", 2).unlink()
    run(root)
    assert changed(root, before) == {27245}
    assert {part for part, when in assembled(root).items() if when != parts[part]} == {2}


def test_what_has_changed_when_it_is_read_again_is_assembled_wherever_it_is_needed(root):
    run(root)
    parts = assembled(root)
    for pix64 in PIXELS:
        remove_data(DESI.path(root / "extracted", pix64))
    DESI.crossmatch(root / "assembled", 2).unlink()
    (root / "archive" / ASKED[27245][0]).unlink()
    run(root)
    assert {part for part, when in assembled(root).items() if when != parts[part]} == {1, 2}


def test_what_is_beside_a_file_is_never_of_another_run_that_was_cut_off(root):
    class Killed(BaseException):
        pass

    def maps(word: str, part: int, extracted: list[Path], out: Path, made_from: str) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_name("map").write_text(word)
        if word == "b":
            raise Killed
        assemble_nothing(part, extracted, out, made_from)

    def made(word: str) -> set[str]:
        run(root, meaning={"config_hash": word}, beside=["map"], assemble=partial(maps, word))
        return {DESI.crossmatch(root / "assembled", part).with_name("map").read_text() for part in PARTS}

    assert made("a") == {"a"}
    with pytest.raises(Killed):
        made("b")
    assert made("a") == {"a"}


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def of_another_format(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["request"]


def unreadable(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["files/status"][0] = b"unreadable"


@pytest.mark.parametrize("spoil", [tear, of_another_format, unreadable, Path.unlink])
def test_a_file_that_is_not_good_is_made_again(root, spoil):
    run(root)
    before = written(root)
    good = DESI.path(root / "extracted", 27246).read_bytes()
    spoil(DESI.path(root / "extracted", 27246))
    run(root)
    assert DESI.path(root / "extracted", 27246).read_bytes() == good
    assert changed(root, before) == {27246}


def test_what_was_absent_is_asked_for_again_when_that_is_wanted(root):
    """A pixel's own coadd, or its redrock file; the other pixels are kept."""
    late = root / "archive" / ASKED[27245][1]
    redrock = root / "archive" / ASKED[27246][0].replace("coadd-", "redrock-")
    hidden = redrock.rename(root / "hidden")
    assert [line[3:-1] for line in run(root)] == [(1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 1, 0)]
    hidden.rename(redrock)
    write(root / "archive", simulated(2, "backup", 27245, at=([10.0, 10.0], [20.0, 20.1])))
    assert late.exists()
    before = written(root)
    DESI.path(root / "extracted", 27244).unlink()
    assert [line[3:-1] for line in run(root)] == [(1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 1, 0)]
    assert changed(root, before) == {27244}
    with Archive(str(root / "archive")) as archive:
        lines = extract_batch(
            archive, ASKED, root / "plan_targets.npy", root / "extracted", WANTED, again=("absent", "unreadable")
        )
    assert [line[3:-1] for line in lines] == [(1, 0, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0)]


@pytest.mark.parametrize(
    "other",
    [{"radius_arcsec": 0.5}, {"report_radius_arcsec": 4.0}, {"resolution": False}, {"redshifts": False}],
)
def test_files_of_another_request_are_not_kept(root, other):
    run(root)
    DESI.path(root / "extracted", 27246).unlink()
    before = written(root)
    run(root, replace(WANTED, **other))
    assert changed(root, before) == set(PIXELS)


def test_files_for_other_targets_or_coadds_are_not_kept(root):
    run(root)
    before = written(root)
    run(root, pixels=ASKED | {27244: ASKED[27244][:1]})
    assert changed(root, before) == {27244}
    write_targets(root, per_pixel=3)
    before = written(root)
    assert [line[1] for line in run(root)] == [3, 3, 3]
    assert changed(root, before) == set(PIXELS)


def program(root: Path, batch: str = "4-1702") -> int:
    lines = [f"main,{kind},{pix64},1702,2" for pix64 in PIXELS for kind in ("dark", "backup")]
    (root / "plan.csv").write_text("\n".join(["survey,program,pix64,pix16,n_targets", *lines]))
    (root / "plan_pixels.csv").write_text("pix16,pix64,digest\n" + "".join(f"1702,{pix64},d\n" for pix64 in PIXELS))
    rows = {"row": range(2), "ra": [1.0, 2.0], "dec": [0.0, 0.0], "pix16": [1702, 1702], "pix64": [27244, 27244]}
    pq.write_table(pa.table({name: list(values) for name, values in rows.items()}), root / "targets.parquet")
    given = ["--archive", root / "archive", "--release", "demo", "--targets", root / "targets.parquet"]
    given += ["--plan", root / "plan.csv", "--batch", batch, "--digest", "d1", "--list", root / "list.csv"]
    given += ["--extracted", root / "extracted", "--assembled", root / "assembled"]
    return cli.run(harvest_desi.main, harvest_desi.build_parser(), [str(word) for word in given])


def test_whole_files_give_the_same_and_none_is_kept(root):
    run(root)
    before = {pix64: DESI.path(root / "extracted", pix64).read_bytes() for pix64 in PIXELS}
    with Archive(str(root / "archive")) as archive:
        extract_batch(
            archive,
            ASKED,
            root / "plan_targets.npy",
            root / "extracted",
            WANTED,
            at_hand=lambda coadds: downloaded(archive, files_of(RELEASE, coadds, redshifts=True), root / "downloads"),
        )
    assert {pix64: DESI.path(root / "extracted", pix64).read_bytes() for pix64 in PIXELS} == before
    assert [path for path in (root / "downloads").rglob("*") if path.is_file()] == []


def test_the_program_writes_its_list_last(root, capsys):
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, 27245, ArchiveUnavailable("gone for now"))
        assert program(root) == cli.EXIT_TRY_AGAIN
    assert "27245: gone for now" in capsys.readouterr().err
    assert not (root / "list.csv").exists()
    assert program(root) == 0
    assert done_for(root / "list.csv").read_text() == "d1"
    with (root / "list.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert [int(line["unit"]) for line in lines] == list(PIXELS)
    assert {line["n_absent"] for line in lines} == {"1"}
    assert tuple(lines[0]) == COLUMNS


def test_a_plan_of_another_version_says_what_to_do(root, capsys):
    np.save(root / "plan_targets.npy", np.zeros((2, 3)))
    assert program(root) == cli.EXIT_FAILED
    assert "run `snakemake plan` again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("batch", "said"), [("3-1", "has no NSIDE=16 pixel in batch 3-1"), ("5-1", "expected all, or")]
)
def test_a_batch_that_is_none_is_refused(root, capsys, batch, said):
    assert program(root, batch) == cli.EXIT_USAGE
    assert said in capsys.readouterr().err

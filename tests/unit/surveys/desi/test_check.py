"""What a check says of a release of DESI that differs from what is assumed; and that a harvest does what it says."""

import gzip
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits

from range_server import denied, serve
from shown_differences import assert_shown
from skyharvest.archive.archive import Archive
from skyharvest.archive.download import download
from skyharvest.check.ask import check
from skyharvest.check.table import show
from skyharvest.config.load import validate
from skyharvest.core.errors import HarvestError
from skyharvest.harvest import releases
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, Checked, Finding
from skyharvest.surveys.desi import extract, selection
from skyharvest.surveys.desi.plan import fetch_tilepix
from skyharvest.surveys.desi.release import load_release
from skyharvest.surveys.desi.wanted import Wanted
from small_release import RELEASE, coadd_files, edit, inside, path_of, simulated, without_column, write, write_list

PIX64 = 27247
PAGE = Path(__file__).resolve().parents[4] / "docs" / "check.md"
REAL = Path(__file__).resolve().parents[5] / "shared" / "real"
DARK = simulated(3, at=np.transpose([inside(PIX64, k) for k in (9, 30, 45)]), targetid=[30, 20, 10])
COADD, REDROCK, SUMS = path_of(DARK), path_of(DARK, "redrock"), path_of(DARK, "checksums")
TILEPIX = RELEASE.tilepix()
Change = Callable[[Path], Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A release of one coadd, and a CSV of its fibers."""
    root = tmp_path_factory.mktemp("sound")
    write(root, DARK)
    write_list(root, [("main", "dark", PIX64)])
    rows = zip(DARK.sources.ra, DARK.sources.dec, strict=True)
    (root / "targets.csv").write_text("RA_DESI,DEC_DESI\n" + "".join(f"{ra},{dec}\n" for ra, dec in rows))
    return root


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(selection, "SECOND_READING_S", 0)


def asked(root: Path, **desi: Any) -> list[Finding]:
    config = {
        "targets": {"csv": str(root / "targets.csv")},
        "desi": {"release": "demo", "archive": str(root), **desi},
        "results": str(root / "results"),
    }
    return list(check(validate(config)).findings)


def outcome(root: Path) -> str:
    """Return what an extract job makes of the coadd: its status, and what it goes without."""
    with Archive(str(root)) as archive:
        wanted = Wanted(None, record_missing=True)
        [chosen] = extract.extract(archive, coadd_files([COADD]), root / "out.hdf5", wanted)
    return "; ".join([chosen.status, *chosen.without])


def planned(root: Path) -> str:
    with Archive(str(root)) as archive:
        try:
            fetch_tilepix(archive, RELEASE, root / "cache.fits")
        except HarvestError as error:
            return type(error).__name__
    return "planned"


def whole(root: Path) -> str:
    """Return what becomes of whole files that are verified."""
    with Archive(str(root)) as archive:
        return "damaged" if download(archive, [COADD], root / "copies", SUMS) else "fetched"


@dataclass
class Difference:
    """A difference.

    Attributes
    ----------
    change
        Makes it, in a copy of the release.
    question, verdict, words
        Of the finding; the words stand in what is seen, what it means, and what to change.
    claim
        What a harvest of it comes to, by `outcome`, `planned` or `whole`.
    """

    change: Change
    question: str
    verdict: str
    words: list[str]
    claim: str = ""
    by: Callable[[Path], str] = outcome
    desi: dict[str, Any] = field(default_factory=dict)


def on(path: str, change: Callable[[fits.HDUList], Any]) -> Change:
    return lambda root: edit(root / path, change)


def header(name: str, **cards: Any) -> Change:
    return on(COADD, lambda hdus: hdus[name].header.update(cards))


def moved(to: str) -> Change:
    def change(root: Path) -> None:
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        (root / COADD).rename(root / to)

    return change


def data(name: str, new: Callable[[Any], Any]) -> Change:
    def change(hdus: fits.HDUList) -> None:
        hdus[name].data = new(hdus[name].data)

    return on(COADD, change)


def without(*names: str) -> Change:
    def change(hdus: fits.HDUList) -> None:
        for name in names:
            del hdus[name]

    return on(COADD, change)


def column(path: str, name: str, key: str, values: Any, form: str) -> Change:
    def change(hdus: fits.HDUList) -> None:
        columns = [old for old in hdus[name].columns if old.name != key]
        made = fits.BinTableHDU.from_columns([*columns, fits.Column(key, form, array=values)], name=name)
        hdus[name] = made

    return on(path, change)


def compressed(*names: str) -> Callable[[fits.HDUList], None]:
    def change(hdus: fits.HDUList) -> None:
        for name in names:
            hdus[name] = fits.CompImageHDU(hdus[name].data, name=name, compression_type="GZIP_1")

    return change


def reordered(hdus: fits.HDUList) -> None:
    rest = sorted(hdus[1:], key=lambda hdu: hdu.name)
    del hdus[1:]
    hdus.extend(rest)


def wider(hdus: fits.HDUList) -> None:
    for arm in "BRZ":
        hdus[f"{arm}_RESOLUTION"].data = np.pad(hdus[f"{arm}_RESOLUTION"].data, [(0, 0), (1, 1), (0, 0)])


def cut_short(hdus: fits.HDUList) -> None:
    for kind in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION"):
        hdus[f"B_{kind}"].data = hdus[f"B_{kind}"].data[..., :2700]


def stale(root: Path) -> None:
    """Change a value of FIBERMAP, and not its checksums."""
    with fits.open(root / COADD) as hdus:
        place = hdus["FIBERMAP"].fileinfo()["datLoc"] + 8
    with (root / COADD).open("r+b") as file:
        file.seek(place)
        file.write(b"\x00\x00\x00\x07")


def compress(path: str) -> Change:
    def change(root: Path) -> None:
        (root / f"{path}.gz").write_bytes(gzip.compress((root / path).read_bytes(), 1))
        (root / path).unlink()

    return change


def text(path: str, new: Callable[[str], str]) -> Change:
    return lambda root: (root / path).write_text(new((root / path).read_text()))


def remove(path: str) -> Change:
    return lambda root: (root / path).unlink()


GROUP = f"{PIX64 // 100}/"
DIFFERENCES = {
    "list: other pixels": Difference(
        on(TILEPIX, lambda hdus: hdus[1].header.update(HPXNSIDE=32)),
        *("list of coadds", FAILS, ["HPXNSIDE", "(32, True)", "entry demo of config/releases.yaml"], "MalformedFile"),
        planned,
    ),
    "list: no column": Difference(
        on(TILEPIX, without_column(1, "PROGRAM")),
        *("list of coadds", FAILS, ["column PROGRAM is missing"], "MalformedFile", planned),
    ),
    "list: a page": Difference(
        lambda root: (root / TILEPIX).write_text("<!DOCTYPE html><html>log in</html>"),
        *("list of coadds", FAILS, ["HTML page"], "MalformedFile", planned),
    ),
    "list: absent": Difference(
        remove(TILEPIX), "list of coadds", FAILS, ["tilepix.fits does not exist", "desi.archive"], "Absent", planned
    ),
    "list: compressed": Difference(
        compress(TILEPIX), "list of coadds", FAILS, ["tilepix.fits.gz is there", "unpack"], "InputError", planned
    ),
    "no such survey": Difference(
        lambda root: None, "rows to look for", FAILS, ["sv9", "it has main"], desi={"surveys": ["sv9"]}
    ),
    "no such file": Difference(
        lambda root: (root / "targets.csv").unlink(), "rows to look for", FAILS, ["targets.csv"]
    ),
    "nothing covered": Difference(
        lambda root: (root / "targets.csv").write_text("RA_DESI,DEC_DESI\n10,10\n"),
        *("rows to look for", NOTE, ["0 of 1 rows", "finds nothing"]),
    ),
    "coadd: absent": Difference(remove(COADD), "coadds", NOTE, ["absent", "main/dark"], "absent"),
    "coadd: other groups": Difference(
        moved(COADD.replace(GROUP, f"{PIX64 // 1000}/")), "coadds", FAILS, ["group: 1000", "entry demo"], "absent"
    ),
    "coadd: no groups": Difference(
        moved(COADD.replace(GROUP, "")), "coadds", FAILS, ["write {pix}/ for {group}/{pix}/", "entry demo"], "absent"
    ),
    "coadd: spectra instead": Difference(
        moved(COADD.replace("coadd-", "spectra-")), "coadds", FAILS, ["spectra of exposures", "spectra-main"], "absent"
    ),
    "coadd: compressed": Difference(
        compress(COADD), "coadds", FAILS, [f"coadd-main-dark-{PIX64}.fits.gz is there", "unpack"]
    ),
    "compressed masks": Difference(
        on(COADD, compressed("B_MASK", "R_MASK", "Z_MASK")),
        *("compression of images", ADAPTED, ["B_MASK: ZCMPTYPE = GZIP_1", "cfitsio"], "read"),
    ),
    "compressed wavelengths": Difference(
        on(COADD, compressed("R_WAVELENGTH")),
        *("compression of images", FAILS, ["R_WAVELENGTH: ZIMAGE = T, ZCMPTYPE = GZIP_1", "issue"], "unreadable"),
    ),
    "no position": Difference(
        on(COADD, without_column("FIBERMAP", "TARGET_RA")),
        *("columns of FIBERMAP", FAILS, ["[FIBERMAP]: column TARGET_RA is missing"], "unreadable"),
    ),
    "identifiers as floats": Difference(
        column(COADD, "FIBERMAP", "TARGETID", [1.0, 2.0, 3.0], "D"),
        *("columns of FIBERMAP", FAILS, ["TARGETID holds float64"], "unreadable"),
    ),
    "no OBJTYPE": Difference(
        on(COADD, without_column("FIBERMAP", "OBJTYPE")), "column OBJTYPE", ADAPTED, ["missing", "sky fibers"], "read"
    ),
    "radians": Difference(
        on(COADD, lambda hdus: hdus["FIBERMAP"].columns.change_unit("TARGET_RA", "rad")),
        *("unit of positions", FAILS, ["TUNIT of TARGET_RA = rad", "wrong places"]),
    ),
    "identifiers twice": Difference(
        data("FIBERMAP", lambda table: table[[0, 1, 1]]), "TARGETIDs", ADAPTED, ["1 of 3 again", "unknown"]
    ),
    "another order": Difference(
        on(COADD, reordered), "order of HDUs", ADAPTED, ["PRIMARY, B_FLUX", "one by one", "by name"], "read"
    ),
    "long headers": Difference(
        header("B_IVAR", **{f"CARD{k}": k for k in range(40)}),
        *("positions of HDUs", ADAPTED, ["B_MASK is at byte", "one by one"], "read"),
    ),
    "no EXP_FIBERMAP": Difference(without("EXP_FIBERMAP"), "EXP_FIBERMAP", AS_ASSUMED, ["none"], "read"),
    "no arm z": Difference(
        without("Z_WAVELENGTH", "Z_FLUX", "Z_IVAR", "Z_MASK", "Z_RESOLUTION"),
        *("arm z", ADAPTED, ["Z_WAVELENGTH", "incomplete"], "read; arm z"),
    ),
    "no resolution": Difference(
        without("R_RESOLUTION"), "resolution r", ADAPTED, ["R_RESOLUTION missing"], "read; resolution r"
    ),
    "no SCORES": Difference(without("SCORES"), "scores", ADAPTED, ["SCORES is missing", "TSNR2_LRG"], "read; scores"),
    "more diagonals": Difference(on(COADD, wider), "resolution", ADAPTED, ["13 diagonals", "kept"], "read"),
    "another grid": Difference(
        data("R_WAVELENGTH", lambda wave: wave + 0.3),
        *("wavelengths", FAILS, ["[R_WAVELENGTH]", "not on DESI's common grid"], "unreadable"),
    ),
    "a shorter arm": Difference(on(COADD, cut_short), "wavelengths", ADAPTED, ["b 2700"], "read"),
    "doubles": Difference(
        data("Z_FLUX", lambda flux: flux.astype(">f8")),
        "types of spectra",
        ADAPTED,
        ["flux float32 and float64"],
        "read",
    ),
    "another unit": Difference(
        header("B_FLUX", BUNIT="nJy"), "unit of flux", FAILS, ["BUNIT = nJy", "not converted", "issue"]
    ),
    "no unit": Difference(header("B_FLUX", BUNIT=""), "unit of flux", NOTE, ["nothing"], "read"),
    "stale checksums": Difference(stale, "FITS checksums", NOTE, ["DATASUM is", "damaged", "transfer: files"]),
    "another pixel in the header": Difference(
        header("PRIMARY", HPXPIXEL=5), "header of coadds", NOTE, ["HPXPIXEL = 5", "the path counts"]
    ),
    "other pixels": Difference(
        on(COADD, lambda hdus: hdus["FIBERMAP"].data["TARGET_DEC"].__isub__(20)),
        *("positions of fibers", FAILS, ["0% in pixel 27247", "wrong coadds"]),
    ),
    "no redrock": Difference(
        remove(REDROCK), "redrock beside coadds", ADAPTED, ["absent", "without redshifts"], "read; redshifts"
    ),
    "redrock: no ZWARN": Difference(
        on(REDROCK, without_column("REDSHIFTS", "ZWARN")),
        *("redrock beside coadds", ADAPTED, ["column ZWARN missing", "unknown"], "read; redshifts"),
    ),
    "redrock: no table": Difference(
        on(REDROCK, lambda hdus: hdus.pop(1)),
        *("redrock beside coadds", ADAPTED, ["REDSHIFTS is missing", "without redshifts"], "read; redshifts"),
    ),
    "redrock: fewer rows": Difference(
        on(REDROCK, lambda hdus: setattr(hdus["REDSHIFTS"], "data", hdus["REDSHIFTS"].data[:2])),
        *("rows of redrock", ADAPTED, ["1 of 3 missing"], "read; redshifts"),
    ),
    "checksums: another name": Difference(
        lambda root: (root / SUMS).rename((root / SUMS).with_name("SHA256SUMS")),
        *("checksum file", ADAPTED, ["SHA256SUMS", "entry demo: paths: checksums"], "fetched", whole),
    ),
    "checksums: absent": Difference(
        remove(SUMS), "checksum file", ADAPTED, ["absent", "length"], "fetched", whole, {"transfer": "files"}
    ),
    "checksums: of others": Difference(
        text(SUMS, lambda sums: sums.replace("coadd-", "spectra-")),
        *("sums in it", ADAPTED, ["of 2 other files"], "fetched", whole),
    ),
    "checksums: MD5": Difference(
        text(SUMS, lambda sums: "".join(f"{line[:32]}  {line[66:]}\n" for line in sums.splitlines())),
        *("sums in it", FAILS, ["32 digits", "damaged", "transfer: rows"], "damaged", whole, {"transfer": "files"}),
    ),
    "checksums: with tags": Difference(
        text(SUMS, lambda sums: "".join(f"SHA256 ({line[66:]}) = {line[:64]}\n" for line in sums.splitlines())),
        *("sums in it", AS_ASSUMED, ["SHA-256 of the coadd"], "fetched", whole, {"transfer": "files"}),
    ),
}


def test_a_sound_release_is_as_assumed(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "root")
    findings = asked(tmp_path / "root")
    assert {finding.verdict for finding in findings} == {AS_ASSUMED, NOTE}
    assert [finding.question for finding in findings if finding.verdict == NOTE] == ["this run"]
    assert len(findings) > 20
    assert outcome(tmp_path / "root") == "read"
    assert not (tmp_path / "root" / "results").exists()


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_is_seen_and_what_is_said_of_it_is_true(sound, tmp_path, name):
    case, root = DIFFERENCES[name], tmp_path / "root"
    shutil.copytree(sound, root)
    case.change(root)
    findings = asked(root, **case.desi)
    found = [finding for finding in findings if finding.question == case.question]
    assert len(found) == 1, findings
    [finding] = found
    assert finding.verdict == case.verdict, finding
    told = f"{finding.about} {finding.seen} {finding.means} {finding.change}"
    assert not [word for word in case.words if word not in told], told
    if case.verdict in (ADAPTED, FAILS, NOTE):
        assert finding.means
    if case.verdict == FAILS:
        assert finding.change
    assert_shown("DESI", name, finding, root)
    if case.claim:
        assert case.by(root) == case.claim


def other_paths(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def cure(entry: dict[str, Any]) -> None:
        entry["paths"] = {kind: path.replace(old, new) for kind, path in entry["paths"].items()}

    return cure


CURES = {
    "coadd: other groups": ("coadds", lambda entry: entry["pixels"].update(group=1000)),
    "coadd: no groups": ("coadds", other_paths("{group}/{pix}/", "{pix}/")),
    "checksums: another name": (
        "checksum file",
        other_paths("redux_{specprod}_healpix_{survey}_{program}_{group}_{pix}.sha256sum", "SHA256SUMS"),
    ),
}


@pytest.mark.parametrize("name", CURES)
def test_what_it_says_to_change_in_the_entry_of_the_release_helps(sound, tmp_path, monkeypatch, name):
    root, (question, cure) = tmp_path / "root", CURES[name]
    shutil.copytree(sound, root)
    DIFFERENCES[name].change(root)
    entries = yaml.safe_load(releases.REGISTRY.read_text())
    cure(entries["demo"])
    (tmp_path / "releases.yaml").write_text(yaml.safe_dump(entries))
    monkeypatch.setattr(releases, "REGISTRY", tmp_path / "releases.yaml")
    found = {finding.question: finding for finding in asked(root)}
    assert found[question].verdict == AS_ASSUMED
    coadd = load_release("demo").coadd("main", "dark", PIX64)
    with Archive(str(root)) as archive:
        wanted = Wanted(None, record_missing=True, redshifts=False)
        [chosen] = extract.extract(archive, coadd_files([coadd]), root / "out.hdf5", wanted)
    assert chosen.status == "read"


def test_the_page_shows_an_archive_that_differs(sound):
    """The page on checks has these lines, with another address; but for those with times and sizes."""
    with serve(sound) as there, serve(sound) as here:
        there.ranges, there.misbehave = "single", lambda handler, _: missing_is_denied(handler, sound)
        here.misbehave = lambda handler, _: (handler.answer(302, b"", {"Location": there.url + handler.path}), True)[1]
        config = {
            "targets": {"csv": str(sound / "targets.csv")},
            "desi": {"release": "demo", "archive": here.url},
            "results": str(sound / "results"),
        }
        checked = check(validate(config))
    names = {here.url: "https://archive.example/dr1", there.url: "https://mirror.example/dr1"}
    archives = {"desi": f"demo at {names[here.url]}"}
    findings = [
        replace(one, **{key: renamed(value, names) for key, value in asdict(one).items()})
        for one in checked.findings
        if one.verdict in (ADAPTED, FAILS)
    ]
    assert len(findings) == 4
    printed = show(Checked(archives, findings))
    shown = PAGE.read_text().split("```text\n")[2].partition("```")[0]
    assert printed == shown, f"docs/check.md should have:\n{printed}"


def missing_is_denied(handler: Any, root: Path) -> bool:
    if root.joinpath(handler.path.lstrip("/")).is_file():
        return False
    denied(handler)
    return True


def renamed(text: str, names: dict[str, str]) -> str:
    for url, name in names.items():
        text = text.replace(url, name)
    return text


def test_real_files_are_as_assumed():
    if not REAL.is_dir():
        pytest.skip(f"the real files are not there: {REAL}")
    config = {
        "targets": {"csv": str(REAL / "targets.csv")},
        "desi": {"release": "loa", "archive": str(REAL / "archive")},
    }
    findings = check(validate(config)).findings
    assert {finding.verdict for finding in findings} == {AS_ASSUMED, NOTE}
    assert "4 of 5 rows are covered" in next(one.seen for one in findings if one.question == "rows to look for")

"""Releases: paths and addresses as the archives have them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skyharvest import surveys
from skyharvest.config.document import releases_schema
from skyharvest.config.registry import load_registry
from skyharvest.core.errors import InputError
from skyharvest.harvest.releases import REGISTRY
from skyharvest.surveys.desi.release import CoaddFile, load_release
from skyharvest.surveys.hetdex.release import load_release as load_hetdex_release

REAL = Path(__file__).resolve().parents[4] / "shared" / "real" / "archive"


@pytest.mark.parametrize(
    ("release", "archive", "survey", "program", "pix", "address"),
    [
        (
            "edr",
            "https",
            "sv3",
            "dark",
            26065,
            "https://data.desi.lbl.gov/public/edr/spectro/redux/fuji/healpix/sv3/dark/260/26065/coadd-sv3-dark-26065.fits",
        ),
        (
            "dr1",
            "s3",
            "main",
            "bright",
            8043,
            "https://desidata.s3.amazonaws.com/dr1/spectro/redux/iron/healpix/main/bright/80/8043/coadd-main-bright-8043.fits",
        ),
        (
            "dr1",
            "local",
            "main",
            "dark",
            7,
            "/global/cfs/cdirs/desi/public/dr1/spectro/redux/iron/healpix/main/dark/0/7/coadd-main-dark-7.fits",
        ),
    ],
)
def test_coadds_lie_where_the_archives_have_them(release, archive, survey, program, pix, address):
    found = load_release(release)
    assert f"{found.root(archive)}/{found.coadd(survey, program, pix)}" == address


def test_the_public_releases_are_on_globus():
    """UUID and paths as data.desi.lbl.gov/doc/access/#globus has them."""
    for name in ("dr1", "edr"):
        assert load_release(name).globus == {"endpoint": "6b4e1f6a-e600-11ed-9b9b-c9bb788c490e", "path": f"/{name}"}
        assert load_release(name).list_root("x") == f"https://data.desi.lbl.gov/public/{name}"
    assert load_release("loa").globus == {}
    assert (load_release("loa").list_root("x"), load_release("demo").list_root("x")) == ("x", "resources/demo")


def test_hetdex_cubes_lie_where_the_archive_has_them():
    pdr1 = load_hetdex_release("pdr1")
    assert f"{pdr1.root('https')}/{pdr1.cube(20190405020, '034')}" == (
        "http://web.corral.tacc.utexas.edu/hetdex/HETDEX/pdr/pdr1/datacubes/20190405020/dex_cube_20190405020_034.fits"
    )
    assert f"{pdr1.root('local')}/{pdr1.index()}" == (
        "/corral-repl/utexas/Hobby-Eberly-Telesco/public/HETDEX/pdr/pdr1/ifu-index.fits"
    )
    assert load_hetdex_release("demohetdex").root("local") == "resources/demo/hetdex"
    assert pdr1.root("http://mirror.example/pdr1/") == "http://mirror.example/pdr1"
    with pytest.raises(InputError, match=r"'pdr1' has no 's3' root.*it has: https, local.*holds ifu-index\.fits"):
        pdr1.root("s3")


def test_hetdex_is_asked_for_four_connections_at_most():
    assert [load_hetdex_release("pdr1").connections(wanted) for wanted in (1, 4, 6, 64)] == [1, 4, 4, 4]


def test_a_release_of_another_survey_is_told_apart():
    said = r"'pdr1' is a release of HETDEX, which hetdex\.release may name; desi\.release wants one of DESI: dr1, edr"
    with pytest.raises(InputError, match=said):
        load_release("pdr1")
    with pytest.raises(InputError, match=r"'dr1' is a release of DESI.*wants one of HETDEX: pdr1, demohetdex"):
        load_hetdex_release("dr1")
    with pytest.raises(InputError, match=r"no release 'pdr2'; did you mean 'pdr1'\?"):
        load_hetdex_release("pdr2")


def test_names_of_the_other_files():
    dr1 = load_release("dr1")
    directory = "spectro/redux/iron/healpix/main/dark/272/27258"
    assert dr1.tilepix() == "spectro/redux/iron/healpix/tilepix.fits"
    assert dr1.redrock("main", "dark", 27258) == f"{directory}/redrock-main-dark-27258.fits"
    assert dr1.checksums("main", "dark", 27258) == (f"{directory}/redux_iron_healpix_main_dark_272_27258.sha256sum")
    assert (dr1.nside, dr1.group) == (64, 100)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real files at {REAL}")
def test_the_real_mirror_is_laid_out_like_this():
    loa = load_release("loa")
    root = Path(loa.root(f"{REAL}/"))
    for path in (loa.tilepix(), *(make("special", "dark", 27247) for make in (loa.coadd, loa.redrock, loa.checksums))):
        assert (root / path).is_file()


def test_a_mirror_is_its_own_root(monkeypatch):
    monkeypatch.setenv("HOME", "/home/vera")
    dr1 = load_release("dr1")
    assert dr1.root("https://mirror.example/desi/dr1/") == "https://mirror.example/desi/dr1"
    assert dr1.root("~/dr1/") == "/home/vera/dr1"
    assert dr1.root("mirrors/dr1") == "mirrors/dr1"
    assert load_release("demo").root("local") == "resources/demo"


def test_a_root_that_is_not_there():
    with pytest.raises(InputError, match=r"'loa' has no 'https' root.*it has: none.*mirror"):
        load_release("loa").root("https")
    with pytest.raises(InputError, match=r"'demo' has no 's3' root.*it has: local"):
        load_release("demo").root("s3")


def test_an_unknown_release_is_told_what_there_is():
    with pytest.raises(InputError, match=r"no release 'dr11'; did you mean 'dr1'\?"):
        load_release("dr11")
    with pytest.raises(InputError, match="expected one of: dr1, edr, loa, demo"):
        load_release("matterhorn")


def test_a_directory_has_productions_that_the_registry_does_not(tmp_path, monkeypatch):
    (tmp_path / "spectro/redux/Himalayas-1.2").mkdir(parents=True)
    found = load_release("Himalayas-1.2", archive=str(tmp_path))
    assert (found.name, found.specprod, found.is_production) == ("Himalayas-1.2", "Himalayas-1.2", True)
    assert found.root(str(tmp_path)) == str(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_release("Himalayas-1.2", archive="~") == found
    dr1 = load_release("dr1", archive=str(tmp_path))
    assert (dr1.specprod, dr1.is_production) == ("iron", False)
    assert (found.nside, found.group, found.paths) == (dr1.nside, dr1.group, dr1.paths)
    for name, archive in (
        ("kibo", str(tmp_path)),  # not there
        ("Himalayas-1.2", ""),
        ("Himalayas-1.2", "https"),
        ("Himalayas-1.2", f"file://{tmp_path}"),
        ("..", str(tmp_path)),
        ("", str(tmp_path)),
        ("../redux/Himalayas-1.2", str(tmp_path)),
    ):
        with pytest.raises(InputError, match="no release"):
            load_release(name, archive=archive)


@given(
    survey=st.from_regex(r"[a-z0-9]+", fullmatch=True),
    program=st.from_regex(r"[a-z0-9]+", fullmatch=True),
    pix=st.integers(0, 12 * 64**2 - 1),
)
def test_a_coadd_name_says_what_it_was_made_from(survey, program, pix):
    release = load_release("dr1", REGISTRY)
    coadd = f"https://archive.example/dr1/{release.coadd(survey, program, pix)}"
    redrock = f"https://archive.example/dr1/{release.redrock(survey, program, pix)}"
    assert CoaddFile.of_path(coadd) == CoaddFile(coadd, redrock, survey, program, pix)


@pytest.mark.parametrize(
    "name",
    [
        "coadd-0-1000-thru20210517.fits",  # of a tile and petal
        "redrock-main-dark-27258.fits",
        "coadd-main-dark-27258.fits.part",
        "xcoadd-main-dark-1.fits",
        "coadd-main-dark-.fits",
        "",
    ],
)
def test_other_names_are_not_taken_for_coadds(name):
    file = CoaddFile.of_path(f"/data/{name}")
    assert (file.survey, file.program, file.pix64) == ("", "", -1)


def test_the_redrock_file_is_beside_a_coadd_and_beside_nothing_else():
    name = "coadd-0-1000-thru20210517.fits"
    assert CoaddFile.of_path(name) == CoaddFile(name, "redrock-0-1000-thru20210517.fits")
    assert CoaddFile.of_path("/coadd-data/spectra-main-dark-1.fits").redrock == ""


def _registry(tmp_path, old, new):
    text = REGISTRY.read_text()
    assert old in text
    path = tmp_path / "releases.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


MISTAKES = [
    ("specprod: iron", "spcprod: iron", "dr1.spcprod: unknown key; did you mean 'specprod'?"),
    ("specprod: iron", "specprod: [iron]", "dr1.specprod: found ['iron']; expected text"),
    ("dr1:\n", "DR1:\n", "DR1: a release is named by small letters and digits"),
    ("loa:\n", "loa: 3\nloa2:\n", "loa: found 3; expected a group of keys"),
    ("path: /dr1}", "paht: /dr1}", "dr1.globus.path: missing, and it has no default; expected: Absolute path"),
    ("group: 100", "group: 0", "dr1.pixels.group: found 0; expected at least 1"),
    ("regions: [north", "regions: [east", "dr9.regions.0: found 'east'; expected one of: north, south"),
    ("bands: [g, r, z]", "bands: [g, r, r]", "dr9.bands: found ['g', 'r', 'r']; something is listed twice"),
    ("order: nested", "order: ring", "dr1.pixels.order: found 'ring'; expected one of: nested"),
    ("nside: 64", "nside: 63", "dr1.pixels.nside: found 63; expected one of: 1, 2, 4, 8, 16"),
    ("https: https://data.desi.lbl.gov/public/dr1", "htps: x", "dr1.roots.htps: unknown key; did you mean"),
    (
        "https://data",
        "https://vera:secret@data",
        "dr1.roots.https: found 'https://***@data.desi.lbl.gov/public/dr1'; expected",
    ),
    (
        "tilepix: spectro",
        "tilepix: /spectro",
        "dr1.paths.tilepix: found '/spectro/redux/",
    ),
    ("path: /dr1}", "path: dr1}", "dr1.globus.path: found 'dr1'; expected: Absolute path"),
    (
        "globus: {endpoint: 6b4e1f6a-",
        "globus: {endpoint: ",
        "dr1.globus.endpoint: found 'e600-11ed-9b9b",
    ),
    ("  survey: hetdex\n", "  survey: hetdx\n", "pdr1.survey: found 'hetdx'; did you mean 'hetdex'?"),
    ("  survey: hetdex\n", "", "pdr1.specprod: missing, and it has no default"),
    ("specprod: iron", "specprod: iron\n  survey: hetdex", "dr1.max_connections: missing, and it has no default"),
    ("max_connections: 4", "max_connections: 0", "pdr1.max_connections: found 0; expected at least 1"),
    ("index: ifu-index", "idx: ifu-index", "pdr1.paths.index: missing, and it has no default"),
    ("https: http://web", "s3: http://web", "pdr1.roots.s3: unknown key; expected one of: https, local"),
]
OTHER = "loa:\n  survey: toy\n  roots: {local: archive}\n  paths: {list: list.fits, table: t.fits}\n"


def test_a_release_of_a_new_survey_is_checked_by_the_survey_s_package(tmp_path, monkeypatch):
    registry = _registry(tmp_path, "loa:\n", f"{OTHER}\nloa2:\n")
    with pytest.raises(InputError, match=r"loa\.survey: found 'toy'; expected one of: desi, hetdex, legacysurvey"):
        load_registry(registry)
    folder = Path(__file__).parents[2] / "toy_survey" / "scripts" / "skyharvest" / "surveys"
    monkeypatch.setattr(surveys, "__path__", [*surveys.__path__, str(folder)])
    monkeypatch.setattr(surveys, "NAMES", (*surveys.NAMES, "toy"))
    assert load_registry(registry)["loa"]["survey"] == "toy"
    assert releases_schema()["additionalProperties"]["properties"]["survey"]["enum"][-1] == "toy"
    registry = _registry(tmp_path, "loa:\n", f"{OTHER.replace('paths', 'path')}\nloa2:\n")
    with pytest.raises(InputError) as caught:
        load_registry(registry)
    assert str(caught.value).splitlines() == [
        f"{registry} is not a valid registry of releases:",
        "  loa.path: unknown key; did you mean 'paths'?",
        *(
            f"  loa.paths.{key}: missing, and it has no default; expected: Path, relative to a root, of {of}."
            for key, of in (("list", "the list of tables"), ("table", "the table of a pix16"))
        ),
    ]


def test_editors_are_told_the_same():
    """Of what is valid, and of each mistake below."""
    import jsonschema

    schema = jsonschema.Draft202012Validator(releases_schema())
    assert schema.is_valid(yaml.safe_load(REGISTRY.read_text()))
    for old, new, _ in MISTAKES:
        assert not schema.is_valid(yaml.safe_load(REGISTRY.read_text().replace(old, new, 1))), new


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES)
def test_a_registry_with_a_mistake_is_refused(tmp_path, old, new, said):
    assert load_registry()
    registry = _registry(tmp_path, old, new)
    with pytest.raises(InputError, match=rf"{re.escape(str(registry))} is not a valid[^$]*\n  {re.escape(said)}"):
        load_registry(registry)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("specprod: iron", "spcprod: iron", "specprod"),
        ("{survey}-{program}-{pix}.fits", "{surevy}.fits", "surevy"),
        ("healpix/tilepix.fits", "{pix}/tilepix.fits", "pix"),
    ],
)
def test_a_release_with_a_mistake_is_refused(tmp_path, old, new, said):
    with pytest.raises(InputError, match=rf"releases\.yaml.*{said}"):
        load_release("dr1", _registry(tmp_path, old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_connections: 4", "max_connexions: 4", "max_connections"),
        ("{ifuslot}.fits", "{ifu}.fits", r"'ifu'.*first lines say"),
    ],
)
def test_a_hetdex_release_with_a_mistake_is_refused(tmp_path, old, new, said):
    with pytest.raises(InputError, match=rf"releases\.yaml.*'pdr1' cannot be used.*{said}"):
        load_hetdex_release("pdr1", _registry(tmp_path, old, new))


def test_what_is_no_registry_at_all(tmp_path):
    for text, said in (("[", "cannot read"), ("- dr1", "expected keys and values"), ("", "expected keys and values")):
        (tmp_path / "releases.yaml").write_text(text)
        with pytest.raises(InputError, match=said):
            load_release("dr1", tmp_path / "releases.yaml")
    with pytest.raises(InputError, match="cannot read"):
        load_release("dr1", tmp_path / "none.yaml")


def test_parsing_the_workflow_stays_cheap():
    """pydantic comes with Snakemake, and only where a configuration is checked."""
    code = """import sys, skyharvest.config.load as load
print(*sys.modules)
load.validate({"targets": {"csv": "t.csv"}})
print(*sys.modules)"""
    scripts = REGISTRY.parents[1] / "scripts"
    done = subprocess.run([sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True, check=True)
    imported, checked = ({name.partition(".")[0] for name in line.split()} for line in done.stdout.splitlines())
    assert not checked & {"numpy", "h5py", "pyarrow", "healpy", "astropy", "pandas", "urllib3"}
    assert not imported & {"pydantic", "jsonschema", "yaml"}

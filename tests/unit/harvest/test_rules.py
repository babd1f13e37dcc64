"""What the rules ask of a harvest, without Snakemake: with plans as small CSV files."""

import argparse
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest

from skyharvest.config.load import validate
from skyharvest.core.errors import InputError
from skyharvest.harvest import rules
from skyharvest.harvest.manifest import Manifest, write_manifest
from skyharvest.harvest.rules import LAYOUT, Harvest, options, pixels_of_spectra
from skyharvest.surveys import NAMES, load_harvests

PLANS = {
    "desi": (
        "survey,program,pix64,pix16,n_targets\n"
        "main,dark,27247,1702,3\nmain,bright,27247,1702,3\nmain,dark,27250,1703,1\nmain,dark,27260,1703,20\n",
        "pix16,pix64,digest\n1702,27247,aa\n1703,27247,aa\n1703,27250,bb\n1703,27260,cc\n",
    ),
    "hetdex": (
        "shotid,ifuslot,n_targets\n20190102009,034,2\n20190102009,035,5\n",
        "pix16,shotid,ifuslot,digest\n766,20190102009,034,dd\n766,20190102009,035,ee\n",
    ),
    "legacysurvey": (
        "region,brickname,bands,n_targets\nsouth,1234p567,grz,7\nnorth,1234p570,r,1\n",
        "pix16,region,brickname,digest\n5,south,1234p567,ff\n5,north,1234p570,gg\n",
    ),
}


def job(**wildcards: str) -> Any:
    return SimpleNamespace(**wildcards)


MEANING = {"csv_sha256": "a1", "config_hash": "c1"}


@pytest.fixture
def harvests(tmp_path):
    """Return a function: settings of the configuration → harvests by survey, and the outputs that they force."""

    def load(**settings: Any) -> tuple[dict[str, Harvest[Any]], list[str]]:
        sections = {name: {"release": "demo", "archive": str(tmp_path / name), "enabled": True} for name in NAMES}
        sections["hetdex"]["release"] = "pdr1"
        sections["legacysurvey"]["release"] = "dr10"
        sections["desi"]["release"] = "dr1"
        for name in NAMES:
            (tmp_path / name).mkdir(exist_ok=True)
        for key, values in settings.items():
            sections[key] = {**sections.get(key, {}), **values} if isinstance(values, dict) else values
        config = validate({"targets": {"csv": "x.csv"}, "results": str(tmp_path / "results"), **sections})
        for name, (plan, pixels) in PLANS.items():
            directory = tmp_path / "results" / name
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "plan.csv").write_text(plan)
            (directory / "plan_pixels.csv").write_text(pixels)
        forced: list[str] = []
        loaded = load_harvests(
            config, lambda name: f"{config['results']}/{name}/plan.csv", forced.extend, lambda _name: MEANING
        )
        return loaded, forced

    return load


def words(line: str) -> list[str]:
    return shlex.split(line)


def test_settings_become_options_of_a_command_quoted():
    line = options(min_flag=2, fields=["a b", "c"], csv="it's", empty=[], on=True, off=False, none=None, zero=0)
    assert words(line) == ["--min-flag", "2", "--fields", "a b", "c", "--csv", "it's", "--empty", "--on", "--zero", "0"]


@pytest.mark.parametrize("value", ["-cat", "--out", "-5.5", "-", "- x"])
def test_a_value_that_looks_like_an_option_is_none(value):
    parser = argparse.ArgumentParser()
    parser.add_argument("--ra")
    parser.add_argument("--text", nargs="*")
    line = options(ra=value, text=["a", "b c"])
    assert vars(parser.parse_args(shlex.split(line))) == {"ra": value, "text": ["a", "b c"]}


def test_the_units_of_a_job_follow_from_its_wildcards(harvests):
    desi = harvests()[0]["desi"]
    assert desi.units(job(batch="1702+1703")) == [27247]
    assert desi.units(job(pix16="1703")) == [27247, 27250, 27260]
    assert desi.units(job(unit="27250", folder="272")) == [27250]
    assert desi.units() == [27247, 27250, 27260]
    assert desi.n_targets(job(pix16="1703")) == [3, 1, 20]
    assert desi.digests(job(batch="1703")) == desi.digests(job(pix16="1703"))[1:]


def test_what_a_unit_is_extracted_for_is_its_targets_files_settings_and_layout(harvests, monkeypatch):
    def digests(**settings):
        return harvests(**settings)[0]["desi"].digests(job(pix16="1703"))

    first = digests()
    assert len(set(first)) == 3
    assert digests(desi={"archive": "https", "read_again": [], "transfer": "files"}) == first
    for changed in ({"match": {"radius_arcsec": 2}}, {"desi": {"spectra": {"lsf": False}}}):
        assert not set(digests(**changed)) & set(first)
    monkeypatch.setattr(rules, "LAYOUT", LAYOUT + 1)
    assert not set(digests()) & set(first)
    others = harvests()[0]
    assert others["hetdex"].units(job(unit="20190102009_035")) == ["20190102009_035"]
    assert others["legacysurvey"].units(job(pix16="5")) == ["south_1234p567", "north_1234p570"]


@pytest.mark.parametrize("wildcards", [{"batch": "9"}, {"pix16": "9"}, {"unit": "9"}])
def test_what_the_plan_does_not_have_is_said(harvests, wildcards):
    for harvest in harvests()[0].values():
        with pytest.raises(InputError, match=rf"{harvest.name}/plan.csv has no .* 9$"):
            harvest.units(job(**wildcards))


def test_a_product_needs_the_lists_of_its_batches_and_files_that_were_removed(harvests, tmp_path):
    desi = harvests()[0]["desi"]
    lists = [f"{desi.extracted}/batches/{batch}.csv" for batch in ("1702+1703", "1703")]
    assert desi.extraction(job(pix16="1703")) == lists
    assert desi.extraction(None) == lists
    file, _, removed = desi.extracted_files(job(pix16="1703"))
    assert file == f"{desi.extracted}/272/27247.hdf5"
    for path in (*lists, file, f"{desi.extracted}/272/27250.hdf5"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    assert desi.extraction(job(pix16="1703")) == [*lists, removed]
    product = Path(desi.assembled_file("1703"))
    product.parent.mkdir(parents=True)
    product.touch()
    assert desi.extraction(job(pix16="1703")) == lists  # it is there: nothing has to be extracted for it
    assert desi.extraction(job(pix16="1703"), str(tmp_path / "export")) == [*lists, removed]
    assert desi.assembled_files() == [desi.assembled_file(pix16) for pix16 in (1702, 1703)]


def test_batches_with_a_file_to_read_again_are_forced(harvests):
    header = "unit,n_spectra,n_absent,n_unreadable,request,digest\n"
    for again, expected in ((["unreadable"], ["1703"]), (["unreadable", "absent"], ["1702+1703", "1703"]), ([], [])):
        loaded, forced = harvests(desi={"read_again": again})
        desi = loaded["desi"]
        directory = Path(desi.extracted, "batches")
        directory.mkdir(parents=True, exist_ok=True)
        [first], [second, third] = (desi.digests(job(batch=batch)) for batch in ("1702+1703", "1703"))
        (directory / "1702+1703.csv").write_text(f"{header}27247,3,1,0,r,{first}\n")
        (directory / "1703.csv").write_text(f"{header}27250,1,0,0,r,{second}\n27260,1,0,1,r,{third}\n")
        desi.extraction(job(pix16="1703"))
        assert forced == [str(directory / f"{batch}.csv") for batch in expected]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.previous.json"])
def test_results_of_another_run_are_made_again_also_where_snakemake_does_not_know(harvests, name):
    for csv_sha256, expected in (("a1", []), ("a0", ["plan.csv", "crossmatch_desi.hdf5"])):
        loaded, forced = harvests()
        desi = loaded["desi"]
        write_manifest(Manifest("desi", "dr1", csv_sha256, "c1", 3, {1703: 2}), Path(desi.root, name))
        product = Path(desi.assembled_file(1703))
        product.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(product, "w") as file:
            file.attrs.update(MEANING | {"csv_sha256": csv_sha256})
        desi.assembled_files()
        desi.extraction(job(pix16="1703"))
        assert [Path(path).name for path in forced] == expected
    with h5py.File(product, "w") as file:
        file.attrs.update(MEANING)
    loaded, forced = harvests()
    loaded["desi"].extraction(job(pix16="1703"))
    assert forced == [], "the run that was interrupted has made this one"


def test_time_and_memory_grow_with_a_job(harvests):
    rows, files = (harvests(desi={"transfer": how}, legacysurvey={"transfer": how})[0] for how in ("rows", "files"))
    assert rows["desi"].minutes(job(batch="1703"), targets=10, whole=30, rows=2) == 20 + 2 + 2 * 2
    assert files["desi"].minutes(job(batch="1703"), targets=10, whole=30, rows=2) == 20 + 2 + 30 * 2
    assert (rows["desi"].disk_mb(job(batch="1703")), rows["legacysurvey"].disk_mb) == (0, 0)
    assert [files["desi"].disk_mb(job(batch=name)) for name in ("1702+1703", "1703")] == [1100 * 2, 1100]
    legacy = harvests(legacysurvey={"size": 1000, "bands": ["g", "r"], "products": ["image", "invvar"]})[0][
        "legacysurvey"
    ]
    assert legacy.cutout_mb == pytest.approx(16)
    assert legacy.extract_mb(job(pix16="5")) == 800 + 3 * 7 * 16
    assert legacy.assemble_mb(job(pix16="5")) == 900 + 3 * 8 * 16


def test_jobs_share_the_connections_to_an_archive_and_need_none_to_a_directory(harvests):
    url = {"archive": "https://example.org/x"}
    loaded = harvests(desi=url, hetdex=url, connections=6)[0]
    assert [loaded["desi"].connections_per_job(jobs) for jobs in (1, 4, 100)] == [6, 1, 1]
    assert loaded["legacysurvey"].connections_per_job(1) == 0
    assert loaded["hetdex"].connections <= loaded["hetdex"].release.max_connections
    assert len({harvest.resource for harvest in loaded.values()}) == len(NAMES)


def test_extract_jobs_are_told_what_does_not_change_their_results(harvests):
    loaded = harvests(desi={"read_again": ["unreadable", "absent"]}, legacysurvey={"transfer": "files"})[0]
    desi = words(loaded["desi"].extract_options)
    assert desi[: desi.index("--journal")] == [
        "--again",
        "unreadable",
        "absent",
        "--known",
        loaded["desi"].release.tilepix(),
    ]
    for name in ("hetdex", "legacysurvey"):
        line = words(loaded[name].extract_options)
        assert line[line.index("--download") + 1] == f"{loaded[name].root}/downloads"
        assert line[-2:] == ["--extracted", loaded[name].extracted]


def test_what_globus_copies_is_read_from_a_directory_and_listed_elsewhere(harvests):
    globus = {"endpoint": "00000000-0000-0000-0000-000000000000", "path": "/x/", "local": "/scratch/desi"}
    desi = harvests(desi={"archive": "globus", "globus": globus})[0]["desi"]
    assert (desi.archive, desi.over_network, desi.known) == ("/scratch/desi", False, None)
    assert desi.list_archive == next(iter(desi.release.roots.values()))
    assert desi.copied == [f"{desi.root}/globus_transfer.csv"]


def test_settings_of_each_survey_become_options(harvests):
    loaded = harvests(
        match={"radius_arcsec": 1.5},
        desi={"spectra": {"lsf": False}},
        hetdex={"exclude_bits": ["SAT", "1"], "keep_bits": [], "maps": {"enabled": True, "wavelength": 5000}},
        legacysurvey={"viewer": {"layers": ["ls-dr10"], "address": "http://x/y z"}},
    )[0]
    assert "--radius 1.5" in loaded["desi"].settings
    assert loaded["desi"].settings.endswith("--record-missing --no-resolution")
    assert loaded["desi"].columns == "--no-lsf"
    assert loaded["desi"].pixels(job(batch="1702+1703")) == ["--pixel 27247 main/dark main/bright"]
    assert "--exclude-bits SAT 1 --keep-bits --include-only-bits" in loaded["hetdex"].settings
    assert "--map-size" in loaded["hetdex"].settings
    assert loaded["hetdex"].line_options.startswith("--wavelength 5000")
    viewer = words(loaded["legacysurvey"].viewer_options)
    assert viewer[:2] == ["--layers", "ls-dr10"]
    assert viewer[-2:] == ["--viewer", "http://x/y z"]
    assert "--psf-layers" not in viewer


def test_products_are_what_is_asked_for_and_what_was_missing_is_asked_for_again(harvests):
    loaded, forced = harvests(
        hetdex={"catalogue": {"enabled": True}, "detections": {"detectids": "catalogue", "pictures": "files"}},
        legacysurvey={"viewer": {"layers": ["ls-dr10"]}},
    )
    hetdex, legacy = loaded["hetdex"], loaded["legacysurvey"]
    names = ("catalogue.hdf5", "detections.hdf5", "elixer/elixer_addresses.csv")
    assert hetdex.products() == [f"{hetdex.root}/{name}" for name in names]
    assert hetdex.detectids == hetdex.products()[0]
    assert legacy.products() == [f"{legacy.root}/viewer/viewer.csv"]
    assert loaded["desi"].products() == []
    assert forced == []
    for path, text in (
        (f"{hetdex.root}/elixer/elixer_missing.csv", "detectid\n1\n"),
        (legacy.products()[0], "row,status\n0,error\n"),
    ):
        Path(path).parent.mkdir()
        Path(path).write_text(text)
    hetdex.products()
    legacy.products()
    assert forced == [f"{hetdex.root}/elixer/elixer_addresses.csv", f"{legacy.root}/viewer/viewer.csv"]
    off = harvests(hetdex={"enabled": False, "catalogue": {"enabled": True}}, legacysurvey={"enabled": False})[0]
    assert off["hetdex"].products() == off["legacysurvey"].products() == []


def test_pages_are_for_pixels_with_spectra(harvests):
    assert pixels_of_spectra(harvests()[0].values()) == [766, 1702, 1703]
    assert pixels_of_spectra(harvests(hetdex={"enabled": False})[0].values()) == [1702, 1703]
    images = harvests(hetdex={"enabled": False}, desi={"enabled": False})[0]
    with pytest.raises(InputError, match="`desi: enabled: true` or `hetdex: enabled: true`"):
        pixels_of_spectra(images.values())


def test_each_surveys_jobs_are_told_what_a_refusal_means(harvests):
    loaded, _ = harvests(**{name: {"forbidden_is_absent": True} for name in NAMES})
    assert all("--forbidden-is-absent" in harvest.extract_options for harvest in loaded.values())
    loaded, _ = harvests()
    assert not any("forbidden" in harvest.extract_options for harvest in loaded.values())

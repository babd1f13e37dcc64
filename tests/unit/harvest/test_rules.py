"""What the rules ask of a harvest, without Snakemake: with plans as small CSV files."""

import argparse
import os
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest

from skyharvest.config.load import validate
from skyharvest.core.errors import InputError
from skyharvest.formats import hdf5
from skyharvest.harvest import rules
from skyharvest.harvest.assembled import made_from
from skyharvest.harvest.batches import LAYOUT
from skyharvest.harvest.done import TAKEN_UP, done_for
from skyharvest.harvest.manifest import Manifest, write_manifest
from skyharvest.harvest.rules import Harvest, options, pixels_of_spectra
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
    assert (desi.batch(job(batch="2-106")), desi.batch(job(pix16="1703"))) == ("2-106", "4-1703")
    assert desi.pixels(job(batch="2-106")) == desi.pixels(job(batch="all")) == desi.pixels() == [1702, 1703]
    assert desi.units(job(batch="4-1702")) == [27247]
    assert desi.units(job(pix16="1703")) == [27247, 27250, 27260]
    assert desi.units() == [27247, 27250, 27260]
    assert desi.n_targets(job(pix16="1703")) == [3, 1, 20]
    assert desi.n_targets_of_pixels(job(batch="all")) == [3, 24]


def test_what_a_job_is_done_for_is_its_targets_files_settings_and_layout(harvests, monkeypatch):
    def digest(batch="all", **settings):
        return harvests(**settings)[0]["desi"].digest(job(batch=batch))

    first = digest()
    assert len({first, digest("4-1702"), digest("4-1703")}) == 3
    assert digest(desi={"archive": "https", "read_again": [], "transfer": "files"}) == first
    monkeypatch.setattr(rules, "LAYOUT", LAYOUT + 1)
    others = [digest()]
    monkeypatch.undo()
    others += [digest(**how) for how in ({"match": {"radius_arcsec": 2}}, {"desi": {"spectra": {"arms": True}}})]
    for key in MEANING:
        with monkeypatch.context() as patch:
            patch.setitem(MEANING, key, "other")
            others.append(digest())
    for plan in ("plan.csv", "plan_pixels.csv"):
        with monkeypatch.context() as patch:
            before = PLANS["desi"]
            patch.setitem(PLANS, "desi", (before[0][:-2] + "1\n", before[1]) if plan == "plan.csv" else before)
            if plan == "plan_pixels.csv":
                patch.setitem(PLANS, "desi", (before[0], before[1].replace("cc", "dd")))
                others.append(digest())
    assert len({first, *others}) == 1 + len(others)
    loaded = harvests()[0]
    assert loaded["hetdex"].units(job(pix16="766")) == ["20190102009_034", "20190102009_035"]
    assert loaded["legacysurvey"].units(job(pix16="5")) == ["south_1234p567", "north_1234p570"]


@pytest.mark.parametrize("wildcards", [{"batch": "4-9"}, {"pix16": "9"}])
def test_what_the_plan_does_not_have_is_said(harvests, wildcards):
    for harvest in harvests()[0].values():
        with pytest.raises(InputError, match=rf"{harvest.name}/plan.csv has no NSIDE=16 pixel in batch 4-9$"):
            harvest.units(job(**wildcards))


def test_a_batch_works_as_long_as_it_may(harvests):
    desi = harvests()[0]["desi"]
    assert desi.batches == {"all": [1702, 1703]}
    assert harvests(batch_seconds=0.01)[0]["desi"].batches == {"4-1702": [1702], "4-1703": [1703]}
    far = harvests(batch_seconds=0.25, desi={"archive": "https://example.org/x"})[0]["desi"]
    assert list(far.batches) == ["4-1702", "4-1703"], "what is far away takes longer"


def finish(desi: Harvest[Any], batch: str, *lines: str) -> Path:
    """Write what a batch leaves."""
    for unit in desi.units(job(batch=batch)):
        extracted = desi.survey.path(Path(desi.extracted), unit)
        extracted.parent.mkdir(parents=True, exist_ok=True)
        if not extracted.exists():  # another batch's, too
            extracted.touch()
    listed = Path(desi.list_of(batch))
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(["unit,n_spectra,n_absent,n_unreadable,request", *lines]))
    done_for(listed).write_text(desi.digest(job(batch=batch)))
    for pix16 in desi.pixels(job(batch=batch)):
        product = Path(desi.assembled_file(pix16))
        product.parent.mkdir(parents=True, exist_ok=True)
        product.touch()
        os.utime(product, (1, 1))
    return listed


def test_a_product_needs_the_lists_of_its_batches_and_all_that_they_stand_for(harvests):
    settings = {"batch_seconds": 0.01}
    loaded, forced = harvests(**settings)
    desi = loaded["desi"]
    lists = [finish(desi, "4-1702", "27247,3,0,0,r"), finish(desi, "4-1703", "27247,3,0,0,r", "27250,1,0,0,r")]
    assert desi.harvested([1703]) == desi.harvested([1703, 99]) == [str(lists[1])]
    assert desi.harvested() == list(map(str, lists))
    assert desi.assembled_files([1703, 99]) == [desi.assembled_file(1703)]
    assert forced == []
    Path(desi.assembled_file(1702)).unlink()
    for wanted, expected in (([1703], []), (None, [str(lists[0])])):
        loaded, forced = harvests(**settings)
        loaded["desi"].harvested(wanted)
        assert forced == expected
    done_for(lists[1]).write_text("other targets")
    loaded, forced = harvests(**settings)
    loaded["desi"].harvested([1703])
    assert forced == [str(lists[1])]
    for path in lists:
        path.unlink()
    loaded, forced = harvests(**settings)
    assert loaded["desi"].harvested() == list(map(str, lists))
    assert forced == [], "Snakemake knows that they are not there"


def test_a_new_ledger_needs_the_extracted_files_and_nothing_else_does(harvests):
    def forced(pixels=None) -> list[str]:
        loaded, files = harvests(batch_seconds=0.01)
        loaded["desi"].harvested(pixels)
        return files

    desi = harvests(batch_seconds=0.01)[0]["desi"]
    lists = [finish(desi, "4-1702", "27247,3,0,0,r"), finish(desi, "4-1703", "27247,3,0,0,r", "27250,1,0,0,r")]
    Path(desi.account[0]).touch()
    desi.survey.path(Path(desi.extracted), 27260).unlink()
    assert forced() == []
    Path(desi.account[0]).unlink()
    assert (forced(), forced([1703])) == ([str(lists[1])], [])
    Path(desi.account[0]).touch()
    done_for(lists[0]).write_text("other targets")
    assert forced() == list(map(str, lists))


def test_a_file_that_is_not_made_from_what_is_extracted_is_stale(harvests):
    """As where a person has had it made alone, of another CSV, or another batch has read their common unit again."""

    def forced(of: dict[str, str], *, content: int = 1, newer: str = "") -> list[str]:
        loaded, files = harvests(batch_seconds=0.01)
        desi = loaded["desi"]
        finish(desi, "4-1703", "27247,3,0,0,r", "27250,1,0,0,r", "27260,1,0,0,r")
        extracted = [desi.survey.path(Path(desi.extracted), unit) for unit in desi.units(job(batch="4-1703"))]
        for path in extracted:
            with hdf5.create(path, sealed=True) as file:
                file.attrs["request"] = "r"
        with h5py.File(desi.assembled_file(1703), "w") as file:
            file.attrs["made_from"] = made_from(extracted, of)
        with hdf5.create(extracted[0], sealed=True) as file:
            file.attrs.update({"request": "r", **({"content": content} if content > 1 else {})})
        written = Path(desi.list_of("4-1703")).stat().st_mtime_ns
        for path in (*extracted, Path(desi.assembled_file(1703))):
            is_newer = path.name in newer
            os.utime(path, ns=(0, written + (10**9 if is_newer else -(10**9))))
        desi.harvested()
        return [Path(path).stem for path in files]

    other = MEANING | {"csv_sha256": "a2"}
    assert forced(MEANING, newer="crossmatch_desi.hdf5 27247.hdf5") == []
    assert forced(other, newer="crossmatch_desi.hdf5") == ["4-1703"]
    assert forced(MEANING, content=2, newer="27247.hdf5") == ["4-1703"]
    assert forced(other, content=2) == [], "nobody looks into old files"


def test_the_file_of_a_pixel_that_a_person_asks_for_is_forced_if_it_is_of_another_run(harvests):
    for said, expected in ((MEANING, 0), (MEANING | {"config_hash": "c2"}, 1), ({}, 1)):
        loaded, forced = harvests()
        path = Path(loaded["desi"].assembled_file(1703))
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file.attrs.update(said)
        for wildcards in (job(pix16="1703"), job(pix16="1702"), job(batch="all")):
            assert loaded["desi"].alone(wildcards) == []
        assert forced == [str(path)] * expected


def test_a_batch_is_asked_for_anew_only_if_nothing_is_wrong_with_it(harvests):
    """Else its job would read again what is there, where a run was killed just as it ended or its list is lost."""
    batches = ["4-1702", "4-1703"]

    def left(spoil, *begun: str, before: bool = True) -> list[str]:
        desi = harvests(batch_seconds=0.01)[0]["desi"]
        for batch in batches:
            finish(desi, batch, "27247,3,0,0,r", "27250,1,0,0,r", "27260,1,0,0,r")
        spoil(desi)
        if before:
            desi.harvested()
            assert all(done_for(Path(desi.list_of(batch))).exists() for batch in batches), "a dry run writes nothing"
        desi.begin({Path(desi.list_of(batch)).resolve() for batch in begun})
        desi.harvested()
        desi.harvested()
        assert desi.harvested() == [desi.list_of(batch) for batch in batches]
        done = {batch: done_for(Path(desi.list_of(batch))) for batch in batches}
        return [batch for batch, path in done.items() if path.exists() and not path.read_text().endswith(TAKEN_UP)]

    assert left(lambda _: None) == batches
    assert left(lambda _: None, "4-1702") == ["4-1703"]
    loaded, forced = harvests(batch_seconds=0.01)
    loaded["desi"].harvested()
    assert forced == [], "a job that Snakemake finds well after all is not done again"
    loaded["desi"].begin([], forced=True)
    assert done_for(Path(loaded["desi"].list_of("4-1702"))).read_text() == loaded["desi"].digest(job(batch="4-1702"))
    assert left(lambda desi: Path(desi.list_of("4-1703")).unlink()) == ["4-1702"]
    for before in (True, False):
        assert left(lambda desi: Path(desi.assembled_file(1703)).unlink(), before=before) == ["4-1702"]
        assert left(lambda desi: Path(desi.extracted, "272/27260.hdf5").unlink(), before=before) == ["4-1702"]


def test_batches_with_a_file_to_read_again_are_forced(harvests):
    for again, expected in ((["unreadable"], ["4-1703"]), (["unreadable", "absent"], ["4-1702", "4-1703"]), ([], [])):
        loaded, forced = harvests(batch_seconds=0.01, desi={"read_again": again})
        finish(loaded["desi"], "4-1702", "27247,3,1,0,r")
        finish(loaded["desi"], "4-1703", "27247,3,0,0,r", "27250,1,0,0,r", "27260,1,0,1,r")
        loaded["desi"].harvested()
        assert forced == [loaded["desi"].list_of(batch) for batch in expected]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.previous.json"])
def test_plans_of_another_run_are_made_again_also_where_snakemake_does_not_know(harvests, name):
    for csv_sha256, expected in (("a1", []), ("a0", ["plan.csv"])):
        loaded, forced = harvests()
        desi = loaded["desi"]
        write_manifest(Manifest("desi", "dr1", csv_sha256, "c1", 3, {1703: 2}), Path(desi.root, name))
        desi.harvested([1703])
        assert forced == []
        desi.harvested()
        assert [Path(path).name for path in forced] == expected


def test_time_and_memory_grow_with_a_job(harvests):
    rows, files = (harvests(desi={"transfer": how}, legacysurvey={"transfer": how})[0] for how in ("rows", "files"))
    assert rows["desi"].minutes(job(batch="4-1703"), targets=10, whole=30, rows=2) == 20 + 2 + 2 * 3
    assert files["desi"].minutes(job(batch="4-1703"), targets=10, whole=30, rows=2) == 20 + 2 + 30 * 3
    assert (rows["desi"].disk_mb(job(batch="4-1703")), rows["legacysurvey"].disk_mb) == (0, 0)
    assert files["desi"].disk_mb(job(batch="4-1702")) == 1100 * 2
    legacy = harvests(legacysurvey={"size": 1000, "bands": ["g", "r"], "products": ["image", "invvar"]})[0][
        "legacysurvey"
    ]
    assert legacy.cutout_mb == pytest.approx(16)
    assert legacy.mb(job(pix16="5")) == 900 + 3 * 8 * 16
    hetdex = harvests(hetdex={"maps": {"enabled": True, "wavelength": 5000, "size_arcsec": 50}})[0]["hetdex"]
    assert hetdex.mb(job(pix16="766")) > harvests()[0]["hetdex"].mb(job(pix16="766")) > 900


def test_jobs_share_the_connections_to_an_archive_and_need_none_to_a_directory(harvests):
    url = {"archive": "https://example.org/x"}
    loaded = harvests(desi=url, hetdex=url, connections=6)[0]
    assert [loaded["desi"].connections_per_job(jobs) for jobs in (1, 4, 100)] == [6, 1, 1]
    assert loaded["legacysurvey"].connections_per_job(1) == 0
    assert loaded["hetdex"].connections <= loaded["hetdex"].release.max_connections
    assert len({harvest.resource for harvest in loaded.values()}) == len(NAMES)


def test_jobs_are_told_what_does_not_change_their_results(harvests):
    loaded = harvests(desi={"read_again": ["unreadable", "absent"]}, legacysurvey={"transfer": "files"})[0]
    desi = words(loaded["desi"].job_options)
    assert desi[: desi.index("--journal")] == [
        "--again",
        "unreadable",
        "absent",
        "--known",
        loaded["desi"].release.tilepix(),
    ]
    for name in ("hetdex", "legacysurvey"):
        line = words(loaded[name].job_options)
        assert line[line.index("--download") + 1] == f"{loaded[name].root}/downloads"
        assert line[-4:] == ["--extracted", loaded[name].extracted, "--assembled", loaded[name].assembled]


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
    assert loaded["desi"].settings.split()[-1] == "--no-lsf"
    assert "--arms" in harvests(desi={"spectra": {"arms": True}})[0]["desi"].settings
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
    assert all("--forbidden-is-absent" in harvest.job_options for harvest in loaded.values())
    loaded, _ = harvests()
    assert not any("forbidden" in harvest.job_options for harvest in loaded.values())

"""A setting is written once: configuration, schema, documentation and programs' options say the same of it."""

import argparse
import importlib
import json
import subprocess
import sys
import types
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Literal

import pytest

from skyharvest import surveys
from skyharvest.config import document
from skyharvest.config.load import digest, validate
from skyharvest.config.settings import root
from skyharvest.core.errors import InputError
from skyharvest.core.settings import (
    Distinct,
    Limited,
    Number,
    Switch,
    Whole,
    add_options,
    describe,
    leaves,
    section,
    setting,
    subsection,
)

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
Name = Annotated[str, Limited("A name; letters.", pattern="^[a-z]+$")]


@section
class Inner:
    """What is inside."""

    depth: Whole = setting(3, "How deep, 1 to 9.", ge=1, le=9)
    mode: Literal["slow", "fast"] | None = setting(None, "How fast; null for neither.")


@section
class Toy:
    """A survey of nothing."""

    enabled: Switch = setting(False, "Whether to harvest it.")
    read_again: list[Literal["unreadable"]] = setting([], "What is tried once more.", outcome=False)
    size_arcsec: Number = setting(2.5, "Side, 50 % more than needed.", gt=0)
    names: Annotated[list[Name], Distinct(min_length=1)] = setting(["a", "b"], "Names.")
    folder: str = setting("toys", "Directory.", path=True)
    inner: Inner = subsection(Inner)


def problems(given, _registry):
    if given("size_arcsec") == 13:
        yield "size_arcsec", "found 13; that brings bad luck"


@pytest.fixture
def toy(monkeypatch):
    """The toy's settings among the registered ones."""
    module = types.ModuleType("skyharvest.surveys.toy.settings")
    module.Settings, module.problems = Toy, problems
    monkeypatch.setitem(sys.modules, "skyharvest.surveys.toy.settings", module)
    monkeypatch.setattr(surveys, "NAMES", (*surveys.NAMES, "toy"))
    monkeypatch.setitem(surveys.SURVEYS, "toy", surveys.SURVEYS["hetdex"])
    return {"targets": {"csv": "t.csv"}}


def test_a_registered_section_is_filled_in_and_checked(toy, monkeypatch):
    monkeypatch.setenv("HOME", "/home/vera")
    plain = validate(toy)
    own = [
        "desi_reduction",
        "hetdex_reduction",
        "database",
        "connections",
        "batch_seconds",
        "keep_extracted",
        "results",
    ]
    assert list(plain) == ["targets", "match", *surveys.NAMES, *own]
    assert plain["toy"] == {
        "enabled": False,
        "read_again": [],
        "size_arcsec": 2.5,
        "names": ["a", "b"],
        "folder": "toys",
        "inner": {"depth": 3, "mode": None},
    }
    said = {"size_arcsec": "4", "enabled": "yes", "folder": "~/toys", "inner": {"depth": "7", "mode": "null"}}
    assert validate(toy | {"toy": said})["toy"] == plain["toy"] | {
        "size_arcsec": 4.0,
        "enabled": True,
        "folder": "/home/vera/toys",
        "inner": {"depth": 7, "mode": None},
    }
    assert digest(validate(toy | {"toy": {"read_again": ["unreadable"]}}), "toy") == digest(plain, "toy")
    assert digest(validate(toy | {"toy": {"inner": {"depth": 4}}}), "toy") != digest(plain, "toy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sise_arcsec": 1}, "toy.sise_arcsec: unknown key; did you mean 'size_arcsec'?"),
        ({"depth": 1}, "toy.depth: unknown key here; did you mean toy.inner.depth?"),
        ({"size_arcsec": 0}, "toy.size_arcsec: found 0.0; expected more than 0"),
        ({"size_arcsec": 13}, "toy.size_arcsec: found 13; that brings bad luck"),
        ({"enabled": 1}, "toy.enabled: found 1; expected true or false"),
        ({"names": []}, "toy.names: found []; it must not be empty"),
        ({"names": ["a", "a"]}, "toy.names: found ['a', 'a']; something is listed twice"),
        ({"names": ["a", "B"]}, "toy.names.1: found 'B'; expected: A name; letters."),
        ({"names": "a"}, "toy.names: found 'a'; expected a list, like [main]"),
        ({"folder": "s3://toys"}, "toy.folder: found 's3://toys'; expected a path on this machine"),
        ({"inner": {"depth": True}}, "toy.inner.depth: found true; expected a whole number"),
        ({"inner": {"depth": 10}}, "toy.inner.depth: found 10; expected at most 9"),
        ({"inner": {"mode": "fats"}}, "toy.inner.mode: found 'fats'; did you mean 'fast'?"),
        ({"inner": {"mode": "no"}}, "toy.inner.mode: found 'no'; expected one of: slow, fast, null"),
        ({"inner": 3}, "toy.inner: found 3; expected a group of keys"),
        ({3: 3}, "toy.3: unknown key; expected one of: enabled, read_again"),
    ],
)
def test_what_is_wrong_with_it_is_said(toy, given, message):
    with pytest.raises(InputError) as caught:
        validate(toy | {"toy": given})
    first, *lines = str(caught.value).splitlines()
    assert first == "the configuration has 1 problem(s):"
    assert lines[0].strip().startswith(message)


def test_it_is_documented(toy):
    schema = document.json_schema()["properties"]
    assert schema["toy"]["additionalProperties"] is False
    assert schema["toy"]["properties"]["names"] == {
        "type": "array",
        "items": {"type": "string", "pattern": "^[a-z]+$", "description": "A name; letters."},
        "minItems": 1,
        "uniqueItems": True,
        "description": "Names.",
        "default": ["a", "b"],
    }
    assert schema["toy"]["properties"]["inner"]["properties"]["depth"]["maximum"] == 9
    assert schema["targets"]["properties"]["name"]["not"]["enum"] == list(surveys.NAMES)
    page = document.page()
    assert "\n## toy\n\nA survey of nothing.\n" in page
    assert '| `toy.names` | list of text | `["a", "b"]` | Names. |' in page
    assert "| `toy.inner.mode` | `slow`, `fast` or null | `null` | How fast; null for neither. |" in page


def test_programs_have_it_as_options():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add_options(parser, Toy, "enabled", "names", size="size_arcsec")
    add_options(parser, Inner, "depth", "mode")
    plain = {"enabled": False, "names": ["a", "b"], "size": 2.5, "depth": 3, "mode": None}
    assert vars(parser.parse_args([])) == plain
    words = ["--enabled", "--names", "x", "y", "--size", "4", "--depth", "2", "--mode", "slow"]
    assert vars(parser.parse_args(words)) == {
        "enabled": True,
        "names": ["x", "y"],
        "size": 4.0,
        "depth": 2,
        "mode": "slow",
    }
    assert "50 % more than needed" in parser.format_help()
    for wrong in (["--mode", "slwo"], ["--depth", "2.5"], ["--names"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)


def test_every_default_is_the_same_wherever_it_is_said():
    """In the configuration, in the schema, and as a default of the section itself."""
    filled = validate({"targets": {"csv": "t.csv"}})
    schema = document.json_schema()
    for key, said in leaves(root()):
        inner, value, kind = schema, filled, root()
        *parts, last = key.split(".")
        for part in parts:
            inner, value, kind = inner["properties"][part], value[part], describe(kind)[part]
        if said.default is not MISSING and key != "targets.csv":
            assert inner["properties"][last]["default"] == said.default == value[last], key
            assert getattr(kind, last, said.default) == said.default
        assert inner["properties"][last]["description"] == said.meaning


PROGRAMS = {
    "desi.harvest_desi": ["match.radius_arcsec", "targets.name"],
    "desi.plan_desi": ["desi.archive", "desi.surveys", "desi.programs", "match.radius_arcsec"],
    "extract_desi_coadd": ["targets.ra", "targets.dec", "match.radius_arcsec", "match.report_radius_arcsec"],
    "hetdex.harvest_hetdex": [
        "targets.name",
        "hetdex.aperture_radius_arcsec",
        "hetdex.min_coverage",
        "hetdex.keep_bits",
        "hetdex.include_only_bits",
        "hetdex.optimal",
        "hetdex.maps.half_width",
    ],
    "legacysurvey.plan_legacysurvey": ["legacysurvey.size", "legacysurvey.products", "legacysurvey.transfer"],
    "legacysurvey.harvest_legacysurvey": [
        "targets.name",
        "legacysurvey.size",
        "legacysurvey.products",
        "legacysurvey.aperture_radii_arcsec",
    ],
    "legacysurvey.fetch_viewer": [
        f"legacysurvey.viewer.{key}" for key in ("layers", "formats", "size", "pixscale", "bands", "subimage")
    ],
    "match_hetdex_catalogue": ["hetdex.catalogue.radius_arcsec", "hetdex.release"],
    "fetch_elixer": ["hetdex.detections.column", "hetdex.release"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_have_the_configuration_s_defaults(program, monkeypatch):
    *folder, name = program.split(".")
    monkeypatch.syspath_prepend(str(SCRIPTS.joinpath(*folder)))
    parser = importlib.import_module(name).build_parser()
    by_meaning = {action.help: action.default for action in parser._actions if action.help}
    settings = dict(leaves(root()))
    for key in PROGRAMS[program]:
        assert by_meaning[settings[key].meaning.replace("%", "%%")] == settings[key].default, key


def test_a_job_starts_without_pydantic():
    code = """import json, runpy, sys
sys.argv = ["harvest_desi.py", "--help"]
try:
    runpy.run_path("desi/harvest_desi.py", run_name="__main__")
except SystemExit:
    print(json.dumps(list(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert "numpy" in loaded
    assert not loaded & {"pydantic", "yaml", "jsonschema"}

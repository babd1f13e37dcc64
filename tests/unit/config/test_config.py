"""The configuration: what is filled in, what is refused and in which words."""

import copy
import functools
import operator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skyharvest import surveys
from skyharvest.config.document import json_schema
from skyharvest.config.load import digest, validate
from skyharvest.core.errors import InputError
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.surveys.hetdex.mask_bits import mask_bits

CONFIG = Path(__file__).resolve().parents[3] / "config"

# The documented defaults, written down independently of the schema.
DEFAULTS = """
targets: {csv: t.csv, ra: RA_DESI, dec: DEC_DESI, healpix: null, targetid: null, text: [], name: chandra}
match: {radius_arcsec: 1.0, report_radius_arcsec: 3.0}
desi:
  enabled: true
  release: dr1
  archive: https
  transfer: rows
  globus: {endpoint: null, path: null, local: null, source_endpoint: null, source_path: null}
  surveys: null
  programs: null
  targetid_radius_arcsec: 10.0
  forbidden_is_absent: false
  read_again: [unreadable]
  sky_fibers: false
  spectra: {combine: true, lsf: true, arms: false, redshifts: true}
hetdex:
  enabled: false
  release: pdr1
  archive: https
  aperture_radius_arcsec: 3.5
  min_coverage: 0.2
  exclude_bits: any
  keep_bits: []
  include_only_bits: []
  optimal: null
  min_flag: null
  fields: null
  forbidden_is_absent: false
  read_again: [unreadable]
  maps: {enabled: false, size_arcsec: 20, wavelength: null, redshift: null, line: null, half_width: 10, fits: false}
  catalogue: {enabled: false, radius_arcsec: 1.5, version: null}
  detections: {detectids: null, column: detectid, pictures: null}
legacysurvey:
  enabled: false
  release: dr10
  archive: https
  transfer: rows
  size: 160
  bands: [g, r, i, z]
  products: [image, invvar, maskbits]
  aperture_radii_arcsec: [1.0, 1.5, 3.5, 7.0]
  contact_sheets: true
  forbidden_is_absent: false
  read_again: [unreadable]
  viewer:
    layers: []
    psf_layers: []
    formats: [jpg]
    size: 160
    pixscale: null
    bands: null
    subimage: false
    address: https://www.legacysurvey.org/viewer
desi_reduction:
  enabled: false
  raw: null
  raw_archive: null
  exposure_tables: null
  calibration: null
  specprod: null
  desimodel: null
  star_templates: null
  redshift_templates: null
  engine: builtin
  nights: null
  expids: null
  tiles: null
  cameras: null
  cores_per_job: 1
  again: false
  qa: {enabled: true, limits: null}
  start_from: {production: null, products: []}
  options:
    preproc: {dark: false, cte: false, more: ""}
    psf: {degree_hermite: 4, more: ""}
    traceshift: {degrees_x: [2, 0], degrees_y: [2, 0]}
    extract:
      b: [3600.0, 5800.0, 0.8]
      r: [5760.0, 7620.0, 0.8]
      z: [7520.0, 9824.0, 0.8]
      psf_error_flat: 0.04
      psf_error_science: 0.01
      model_variance: true
      barycentric: true
      more: ""
    fiberflat: {more: ""}
    sky: {adjust_wavelength: true, adjust_lsf: true, more: ""}
    starfit: {delta_color: 0.2, more: ""}
    fluxcalib: {delta_color_cut: 0.2, more: ""}
    cframe: {cosmics_nsig: 6.0, tsnr: false, more: ""}
    spectra: {forms: [], lin_step: 0.8, log10_step: 0.0001}
    redshift: {enabled: true, any_version: false, more: ""}
hetdex_reduction:
  enabled: false
  raw: null
  fplane: null
  ifucen: null
  star_catalogue: null
  seds: null
  swaps: null
  calibration_from: []
  months: null
  nights: null
  shots: null
  release: own
  maps_in_errors: false
  report: true
  bad: {amps: null, fibers: null, frames: null, pixels: null}
  bias: {min_frames: 5, smooth_rows: 7, trap_half_width: 9, trap_rows: 50, trap_sigma: 10.0}
  trace:
    min_frames: 2
    most_frames: 40
    level_least: 100.0
    level_most: 20000.0
    saturated_most: 0.002
    degree: 4
    groups_y: 8
    groups_x: 8
    least_light: 0.1
    faint_light: 0.004
  flat: {defect: 0.2, defect_pixels: 3, defect_sigma: 5.0, least_light: 1.0, neighbours: 6}
  background:
    level_first_row: 300
    level_last_row: 700
    level_unit: 25.0
    sci_least: 0.2
    sci_most: 3.0
    bri_most: 15.0
    distance_sci: 7.0
    distance_bri: 7.5
    distance_twi: 8.0
    edge: 3
    blocks: 24
    least_pixels: 20
    terms_sci: 2
    terms_bri: 3
    terms_twi: 4
  wavelength:
    solar_spectrum: null
    solar_fwhm: 1.0
    start: 3505.0
    step: 1.955
    tolerance: 20.0
    degree_x: 4
    degree_y: 3
    min_fibers: 40
    min_signal: 5.0
    min_correlation: 0.5
    min_segments: 60
    min_matched: 0.9
    max_rms: 0.2
  fiber_to_fiber: {intervals: 20, min_living: 40, min_ratio: 0.2}
  amp_to_amp: {max_level: 5.0, min_level: 0.2, pieces: 10}
  extract: {most_chi2: 10.0, most_lost: 0.5, most_trace_shift: 1.5, profile_error: 0.05, trace_rounds: 3}
  cosmics:
    cosmic_sigma: 5.0
    cosmic_sigma_beside: 4.0
    cosmic_model_error: 0.08
    doubtful_lost: 0.4
    doubtful_chi2: 10.0
    cosmic_rounds: 8
    few_changes: 0
  sky:
    sky_knots: 1.5
    sky_samples: 6.0
    least_sky_fibers: 8
    source_sigma: 3.0
    low_sigma: 5.0
    sky_rounds: 3
    line_rounds: 2
    background_fibers: 5
    most_factor: 0.15
  astrometry:
    first_wavelength: 4400.0
    last_wavelength: 5400.0
    threshold: 3.0
    least_snr: 6.0
    least_coverage: 0.6
    fwhm: 1.8
    faintest: 22.5
    search_radius: 17.0
    exposure_radius: 8.0
    match_radius: 3.0
    angle_offset: 0.0
    angle_range: 2.0
    min_stars: 3
    most_chance: 0.0001
  stars:
    faintest: 22.0
    first_wavelength: 4400.0
    last_wavelength: 5400.0
    aperture: 3.5
    least_snr: 30.0
    recentre_snr: 10.0
    most_off: 1.0
    least_coverage: 0.75
    blend_radius: 5.0
    blend_magnitudes: 2.5
    saturated: 200000.0
    least_fraction: 0.03
    min_stars: 1
  sed_fits:
    ebv: 0.02
    errors: [0.03, 0.02, 0.02, 0.02, 0.02]
    ab_offsets: [0.0, 0.0, 0.0, 0.0, 0.0]
    mismatch: 0.03
    max_chi2: 10.0
  throughput:
    max_scatter: 0.2
    max_rms: 0.02
    faintest: 21.0
    sky_left: 5.0
    min_stars: 2
    gband_alone: false
    reference: null
    degree: 4
    bin: 40.0
    min_sn: 5.0
    last_wavelength: 5450.0
  residual_maps: {bad_fraction: 0.2, max_chi2: 10.0, memory_mb: 400, min_frames: 5}
  shot_file: {coverage: 0.75, images: false, sky_error: 0.03, sky_error_most: 0.06, uncompressed: false}
  detections:
    enabled: true
    grid_step: 0.5
    grid_size: 3
    aperture: 3.5
    filter_width: 2.7
    search_sn: 4.5
    group_radius: 3.0
    group_wave: 4.0
    first_wave: 3510.0
    last_wave: 5490.0
    least_coverage: 0.35
    raster_step: 0.15
    raster_size: 5
    fit_half_width: 50.0
    monte_carlo: 0
    least_sn: 5.6
    most_chi2: 2.0
    least_linewidth: 1.7
    most_linewidth: 8.0
    least_equivalent_width: 5.0
    most_difference: 4.0
    limit_sn: 5.0
    limit_step: 1.0
  completeness:
    lines: 120
    faintest_sn: 3.0
    brightest_sn: 14.0
    narrowest: 2.2
    widest: 4.0
    match_radius: 2.0
    match_wave: 5.0
    seed: 1
  continuum:
    enabled: true
    blue: [3700.0, 3900.0]
    red: [5100.0, 5300.0]
    counts: 50.0
    group_radius: 6.5
    least_apart: 2.8
    one_each: false
    aperture: 3.5
    most_moved: 2.0
  flags:
    tracks: null
    galaxies: null
    bad_shots: null
    least_response: 0.08
    most_chi2: 5.0
    least_fiber_to_fiber: 0.5
    least_known: 0.5
    most_bad: 0.5
  cubes: {enabled: true, kernel_fwhm: 1.2, uncompressed: false}
  cutouts: {enabled: true, width: 100, height: 9}
  reports: {enabled: true, neighbours: null, radius: 10.0, least_sn: 0.0}
  quality: {limits: null}
database:
  engine: sqlite
  path: null
  host: null
  port: null
  dbname: null
  user: null
  reader: null
  schema: harvest
  catalogues: []
connections: 6
batch_seconds: 20
keep_extracted: true
results: results
"""
MINIMAL = {"targets": {"csv": "t.csv"}}


def merged(config, key, value):
    """Return a copy of the configuration with one dotted key set."""
    config = copy.deepcopy(config)
    *sections, last = key.split(".")
    section = config
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = value
    return config


def leaves(schema, prefix=""):
    for key, inner in schema["properties"].items():
        if "properties" in inner:
            yield from leaves(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def refused(config):
    with pytest.raises(InputError) as caught:
        validate(config)
    return str(caught.value)


def test_defaults():
    given_ = copy.deepcopy(MINIMAL)
    filled = validate(given_)
    assert filled == yaml.safe_load(DEFAULTS)
    assert given_ == MINIMAL
    filled["legacysurvey"]["bands"].append("y")
    assert validate(MINIMAL)["legacysurvey"]["bands"] == ["g", "r", "i", "z"]


def test_every_key_is_documented_and_has_a_default():
    def described(schema):
        for inner in schema.get("properties", {}).values():
            assert inner["description"]
            assert inner.get("type") != "object" or inner["additionalProperties"] is False
            described(inner)

    described(json_schema())
    assert [key for key, inner in leaves(json_schema()) if "default" not in inner] == []


def test_the_real_run_names_every_key_and_differs_from_the_defaults_only_where_it_says_so():
    config = yaml.safe_load((CONFIG / "config.yaml").read_text())
    for key, _ in leaves(json_schema()):
        functools.reduce(operator.getitem, key.split("."), config)
    expected = yaml.safe_load(DEFAULTS)
    expected["targets"] |= {"csv": "data/DESI_chandra_crossmatch_1arcsec_healpix.csv", "healpix": "healpix"}
    assert validate(config) == config == expected


def test_the_demo():
    filled = validate(yaml.safe_load((CONFIG / "demo.yaml").read_text()))
    assert (filled["desi"]["release"], filled["desi"]["archive"], filled["results"]) == (
        "demo",
        "local",
        "results/demo",
    )


word = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True).filter(lambda text: text not in ("null", "none"))
radius = st.floats(1e-3, 60)
bits = st.lists(st.sampled_from(["MAIN", "badcal", 16, "2048", 8192]))
configs = st.fixed_dictionaries(
    {"targets": st.fixed_dictionaries({"csv": word}, optional={"name": st.just("x.1"), "healpix": st.none() | word})},
    optional={
        "match": st.tuples(radius, radius).map(
            lambda pair: {"radius_arcsec": min(pair), "report_radius_arcsec": max(pair)}
        ),
        "desi": st.fixed_dictionaries(
            {},
            optional={
                "enabled": st.booleans(),
                "release": st.sampled_from(["dr1", "edr"]),
                "archive": st.sampled_from(["https", "s3", "local", "https://mirror.example:8080/desi"]),
                "surveys": st.lists(word, min_size=1, unique=True),
                "spectra": st.fixed_dictionaries({}, optional={"arms": st.booleans(), "lsf": st.booleans()}),
            },
        ),
        "hetdex": st.fixed_dictionaries(
            {},
            optional={
                "enabled": st.booleans(),
                "release": st.sampled_from(["pdr1"]),
                "archive": st.sampled_from(["https", "local", "http://mirror.example:8080/pdr1"]),
                "aperture_radius_arcsec": st.floats(1e-3, 20),
                "min_coverage": st.floats(0, 1),
                "exclude_bits": st.sampled_from(["any", "ALL", "METEOR", 31]) | bits,
                "keep_bits": bits,
                "include_only_bits": bits,
                "optimal": st.sampled_from([None, "gaussian", "moffat"]),
                "min_flag": st.none() | st.floats(0, 1),
                "fields": st.none() | st.lists(st.sampled_from(["dex-spring", "cosmos"]), min_size=1, unique=True),
            },
        ),
        "connections": st.integers(1, 64),
    },
)


@settings(max_examples=40, deadline=None)
@given(config=configs)
def test_strings_from_the_command_line_mean_what_the_file_means(config):
    filled = validate(config)
    assert validate(filled) == filled
    # --config reads nested values with this loader: every scalar is a string
    as_strings = yaml.load(yaml.safe_dump(config), Loader=yaml.BaseLoader)
    assert validate(as_strings) == filled
    assert digest(validate(as_strings), "desi") == digest(filled, "desi")


def test_snakemake_s_own_parser():
    from snakemake.cli import parse_config

    said = parse_config(
        [
            "targets={csv: t.csv, healpix: null, targetid: }",
            "desi={release: edr, surveys: [sv3], enabled: True, spectra: {arms: on, lsf: false}}",
            "match={radius_arcsec: 2, report_radius_arcsec: 2.5}",
            "hetdex={enabled: yes, exclude_bits: [1, FTF, 4], min_flag: 0.5, optimal: moffat, fields: null}",
            "connections=4",
        ]
    )
    filled = validate(said)
    assert filled["targets"]["healpix"] is None is filled["targets"]["targetid"]
    assert filled["desi"]["spectra"] == {"combine": True, "lsf": False, "arms": True, "redshifts": True}
    assert filled["match"] == {"radius_arcsec": 2.0, "report_radius_arcsec": 2.5}
    hetdex = filled["hetdex"]
    assert (hetdex["enabled"], hetdex["min_flag"], hetdex["optimal"], hetdex["fields"]) == (True, 0.5, "moffat", None)
    assert mask_bits(hetdex["exclude_bits"]) == 7
    assert (filled["desi"]["surveys"], filled["desi"]["enabled"], filled["connections"]) == (["sv3"], True, 4)


def test_what_yaml_makes_of_things():
    config = yaml.safe_load("{targets: {csv: t.csv, name: 2024}, match: {radius_arcsec: 2}, desi: , connections: 6.0}")
    filled = validate(config)
    assert filled["targets"]["name"] == "2024"
    assert filled["match"]["radius_arcsec"] == 2.0
    assert filled["desi"]["release"] == "dr1"
    assert type(filled["match"]["radius_arcsec"]) is float
    assert type(filled["connections"]) is int


def test_paths_are_tidied(monkeypatch):
    monkeypatch.setenv("HOME", "/home/vera")
    filled = validate({"targets": {"csv": "~/t.csv"}, "results": "out/"})
    assert (filled["targets"]["csv"], filled["results"]) == ("/home/vera/t.csv", "out")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("desi.relase", "dr1", "unknown key; did you mean 'release'?"),
        ("desi.Release", "dr1", "unknown key; did you mean 'release'?"),
        ("desi.spectra.lfs", True, "unknown key; did you mean 'lsf'?"),
        ("conections", 4, "unknown key; did you mean 'connections'?"),
        ("radius_arcsec", 1, "unknown key here; did you mean match.radius_arcsec or hetdex.catalogue.radius_arcsec?"),
        ("match.qqq", 1, "unknown key; expected one of: radius_arcsec, report_radius_arcsec"),
        ("desi.release", "dr11", "found 'dr11'; did you mean 'dr1'?; config/releases.yaml has: dr1, edr, loa, demo"),
        ("desi.release", "iron", "found 'iron'; did you mean 'dr1'?"),
        ("desi.release", "dr2", "found 'dr2'; config/releases.yaml has: dr1, edr, loa, demo"),
        ("desi.release", "matterhorn", "found 'matterhorn'; config/releases.yaml has: dr1, edr, loa, demo"),
        ("desi.release", "pdr1", "'pdr1', a release of HETDEX, which hetdex.release may name; desi.release wants"),
        ("desi.release", None, "found null; expected text"),
        ("desi.archive", "htps", "found 'htps'; did you mean 'https'?"),
        ("desi.archive", "globs", "found 'globs'; did you mean 'globus'?"),
        ("desi.globus.endpont", "x", "unknown key; did you mean 'endpoint'?"),
        ("desi.globus.client_secret", "x", "unknown key; expected one of: endpoint, path, local"),
        ("desi.globus.endpoint", "my laptop", "found 'my laptop'; expected: UUID of the Globus collection"),
        ("desi.globus.local", "https://host/dr1", "a path on this machine"),
        ("desi.archive", "/no/such/mirror", "no such directory"),
        ("desi.archive", "s3://desidata/dr1", "expected https, s3, local or globus, a path, or an address"),
        ("desi.archive", "https://host:port/dr1", "not a valid URL"),
        ("desi.archive", "https:///dr1", "expected https, s3, local or globus, a path, or an address"),
        ("desi.archive", "https://host/dr1?x=y", "without ? and #"),
        ("desi.transfer", "row", "found 'row'; did you mean 'rows'?"),
        ("desi.surveys", [], "must not be empty"),
        ("desi.surveys", "main", "found 'main'; expected a list"),
        ("desi.surveys", ["main", "main"], "listed twice"),
        ("desi.programs.0", None, None),
        ("desi.spectra.arms", "maybe", "found 'maybe'; expected true or false"),
        ("desi.enabled", 1, "found 1; expected true or false"),
        ("desi", "dr1", "found 'dr1'; expected a group of keys"),
        ("targets.name", "desi", "name of a survey's own group"),
        ("targets.name", "a/b", "letters, digits, underscores, dots and hyphens"),
        ("targets.name", ".", "letters, digits, underscores, dots and hyphens"),
        ("targets.name", "-cat", "the first one a letter, digit or underscore"),
        ("targets.name", "-", "the first one a letter, digit or underscore"),
        ("targets.name", "x\n", "control character"),
        ("targets.text", "obsid", "found 'obsid'; expected a list"),
        ("targets.text", ["obsid", "obsid"], "listed twice"),
        ("targets.ra", "", "must not be empty"),
        ("targets.ra", True, "found true; expected text"),
        ("targets.dec", "RA_DESI", "the same column as targets.ra"),
        ("targets.csv", "https://host/t.csv", "a path on this machine"),
        (
            "targets.csv",
            "data/{epoch}/my.csv",
            "it holds { and }, which Snakemake takes for names to fill in: rename it",
        ),
        ("results", "a<b", "it holds <, which Snakemake"),
        ("results", "-r", "found '-r', which programs take for an option: write ./-r"),
        ("match.radius_arcsec", 0, "expected more than 0"),
        ("match.radius_arcsec", "one", "found 'one'; expected a number"),
        ("match.radius_arcsec", float("nan"), "finite"),
        ("match.report_radius_arcsec", 61, "expected at most 60"),
        ("match.report_radius_arcsec", "0.5", "found 0.5; expected at least match.radius_arcsec, 1"),
        ("connections", 0, "found 0; expected at least 1"),
        ("connections", 2.5, "found 2.5; expected a whole number"),
        ("results", "", "must not be empty"),
        ("hetdex.enabled", "perhaps", "found 'perhaps'; expected true or false"),
        ("hetdex.release", "dr1", "found 'dr1', a release of DESI, which desi.release may name; hetdex.release wants"),
        ("hetdex.release", "pdr2", "found 'pdr2'; did you mean 'pdr1'?; config/releases.yaml has: pdr1, demohetdex"),
        ("hetdex.archive", "s3", "found 's3'; expected https or local, or the path or URL of a mirror"),
        ("hetdex.archive", "globus", "found 'globus'; expected https or local, or the path or URL of a mirror"),
        ("hetdex.archive", "ftp://host/pdr1", "expected https or local, a path, or an address"),
        ("hetdex.aperture_radius_arcsec", 0, "expected more than 0"),
        ("hetdex.aperture_radius_arcsec", 20.5, "expected at most 20"),
        ("hetdex.aperture_radius", 3, "unknown key; did you mean 'aperture_radius_arcsec'?"),
        ("hetdex.min_coverage", -0.1, "expected at least 0"),
        ("hetdex.min_coverage", None, "found null; expected a number"),
        ("hetdex.min_flag", 1.1, "expected at most 1"),
        ("hetdex.min_flag", True, "found true; expected a number or null"),
        ("hetdex.exclude_bits", "most", "'most' is no bit of a mask; expected any, MAIN, FTF,"),
        ("hetdex.exclude_bits", ["MAIN", "METEORS"], "'METEORS' is no bit of a mask; did you mean 'METEOR'?"),
        ("hetdex.exclude_bits", None, "found null; expected a list, like [main] or text"),
        ("hetdex.keep_bits", "BADCAL", "found 'BADCAL'; expected a list"),
        ("hetdex.keep_bits", [16385], "'16385' is no bit of a mask"),
        ("hetdex.include_only_bits", [0], "'0' is no bit of a mask"),
        ("hetdex.optimal", "gauss", "found 'gauss'; did you mean 'gaussian'?"),
        ("hetdex.optimal", "yes", "found 'yes'; expected one of: gaussian, moffat, null"),
        ("hetdex.fields", [], "must not be empty"),
        ("hetdex.fields", "cosmos", "found 'cosmos'; expected a list"),
        ("legacysurvey.enabled", "perhaps", "found 'perhaps'; expected true or false"),
    ],
)
def test_each_mistake_is_named_with_its_key_and_what_is_valid(key, value, said):
    config = merged(MINIMAL, key, value) if key != "desi.programs.0" else merged(MINIMAL, "desi.programs", ["../x"])
    said = said or "found '../x'; expected: A program"
    message = refused(config)
    assert message.startswith("the configuration has 1 problem(s):")
    assert f"\n  {key}: " in message
    assert said in message


def test_bits_of_masks():
    """Values as the table of HETDEX Public Data Release 1 has them."""
    assert list(MASK_BITS.values()) == [2**k for k in range(14)]
    assert (MASK_BITS["BADAMP"], MASK_BITS["METEOR"], MASK_BITS["BADCAL"], MASK_BITS["BADDET"]) == (16, 64, 2048, 8192)
    assert mask_bits(["main", "FTF", "4", 8, 16]) == mask_bits(31) == mask_bits("31") == 31
    assert mask_bits("any") == mask_bits("ALL") == mask_bits(["MAIN", "any"]) == -1
    assert mask_bits([]) == 0
    assert mask_bits(["MAIN", 16384, "1073741824"]) == 1 + 2**14 + 2**30  # bits that have no name yet
    for wrong in (-1, 16385, 2**31, True, "", "METEO", "1.0", "١"):
        with pytest.raises(InputError, match=r"is no bit of a mask; (did you mean 'METEOR'|expected any, MAIN)"):
            mask_bits(wrong)


def test_a_release_without_that_root_asks_for_a_mirror(tmp_path):
    config = merged(MINIMAL, "desi.release", "loa")
    assert "desi.archive: found 'https', which release 'loa' does not have" in refused(config)
    assert validate(merged(config, "desi.archive", str(tmp_path)))["desi"]["archive"] == str(tmp_path)


def test_a_production_in_a_directory_needs_no_entry(tmp_path):
    (tmp_path / "spectro/redux/sim").mkdir(parents=True)
    config = merged(merged(MINIMAL, "desi.release", "sim"), "desi.archive", str(tmp_path))
    filled = validate(config)
    desi = surveys.load_harvests(filled, lambda survey: "")["desi"]
    assert (desi.release.specprod, desi.archive) == ("sim", str(tmp_path))
    assert desi.produced == [f"{tmp_path}/spectro/redux/sim/healpix/tilepix.fits"]
    for key, value in (("desi.archive", "https"), ("desi.release", "sim2")):
        message = refused(merged(config, key, value))
        assert "config/releases.yaml has: dr1, edr, loa, demo; another one is added there" in message
        assert "where the archive is a directory of this machine, a production in its spectro/redux/ can be" in message
    message = refused(merged(merged(MINIMAL, "hetdex.release", "sim"), "hetdex.archive", str(tmp_path)))
    assert "hetdex.release: found 'sim'" in message and "directory of this machine" not in message


def test_hetdex_is_read_where_its_release_lies():
    config = merged(MINIMAL, "hetdex.release", "demohetdex")
    assert "hetdex.archive: found 'https', which release 'demohetdex' does not have" in refused(config)
    assert "that holds ifu-index.fits" in refused(config)
    assert validate(merged(config, "hetdex.archive", "local"))["hetdex"]["archive"] == "local"


@pytest.mark.parametrize("value", ["../x", "a b", "--help", "https://vera:hunter2@host"])
@pytest.mark.parametrize("key", ["hetdex.fields", "hetdex.keep_bits", "hetdex.exclude_bits"])
def test_names_that_reach_a_command_line_are_plain(key, value):
    message = refused(merged(MINIMAL, key, [value]))
    assert f"\n  {key}.0: found" in message
    assert "hunter2" not in message


def test_a_directory_may_be_called_like_a_misspelt_keyword(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("htps").mkdir()
    assert validate(merged(MINIMAL, "desi.archive", "htps"))


GLOBUS = {"endpoint": "11111111-1111-4111-8111-111111111111", "path": "/data/mirror", "local": "/mnt/mirror"}
SOURCE = {"source_endpoint": "22222222-2222-4222-8222-222222222222", "source_path": "/data/desi"}


def by_globus(release="dr1", **changes):
    desi = {"release": release, "archive": "globus", "globus": GLOBUS | changes}
    return MINIMAL | {"desi": desi}


def test_a_copy_by_globus(monkeypatch):
    monkeypatch.setenv("HOME", "/home/vera")
    filled = validate(by_globus(local="~/mirror"))
    assert filled["desi"]["globus"] == GLOBUS | {"local": "/home/vera/mirror"} | dict.fromkeys(SOURCE)
    assert digest(filled, "desi") == digest(validate(MINIMAL), "desi")
    assert validate(by_globus("loa", **SOURCE))["desi"]["globus"] == GLOBUS | SOURCE


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        *((by_globus(**{key: None}), key, "missing; archive: globus needs it. Expected: ") for key in GLOBUS),
        (by_globus(path="mirror"), "path", "found 'mirror'; expected an absolute path"),
        (by_globus(path="~/mirror"), "path", "/home/USER/home/USER"),
        (by_globus(path="/~/mirror"), "path", "/home/USER/home/USER"),
        (by_globus(path="/data/../etc"), "path", "without .."),
        (by_globus(**SOURCE | {"source_path": "desi"}), "source_path", "expected an absolute path"),
        (by_globus(source_endpoint=SOURCE["source_endpoint"]), "source_path", "missing"),
        (by_globus("loa", source_path="/data/desi"), "source_endpoint", "missing"),
    ],
)
def test_what_a_copy_by_globus_lacks(config, key, said):
    message = refused(config)
    assert message.startswith("the configuration has 1 problem(s):")
    assert f"\n  desi.globus.{key}: " in message
    assert said in message


def test_all_problems_come_at_once():
    message = refused(
        {
            "targts": {"csv": "t.csv"},
            "match": {"radius_arcsec": "5"},
            "desi": {"surveys": [], "release": "drr1", "archive": "htps"},
            "connections": "many",
        }
    )
    keys = [line.strip().partition(":")[0] for line in message.splitlines()[1:]]
    assert keys == [
        "connections",
        "desi.archive",
        "desi.release",
        "desi.surveys",
        "match.report_radius_arcsec",
        "targets.csv",
        "targts",
    ]


def test_targetids_are_no_text():
    config = {"targets": {"csv": "t.csv", "targetid": "id", "text": ["id"]}}
    assert "targets.text: column 'id' holds the TARGETIDs to match on" in refused(config)


def test_the_csv_is_required():
    assert "targets.csv: missing" in refused({})
    assert "expected a group of keys" in refused([])


@pytest.mark.parametrize("key", ["desi.archive", "targets.csv", "results", "desi.release", "connections"])
def test_no_secret_gets_in_or_out(key):
    message = refused(merged(MINIMAL, key, "https://vera:hunter2@host/dr1"))
    assert key in message
    assert "hunter2" not in message
    assert "vera" not in message


def test_the_digest_changes_with_the_content_alone():
    base = validate(yaml.safe_load(DEFAULTS))
    assert len(digest(base, "desi")) == 16
    assert int(digest(base, "desi"), 16) >= 0
    changed: dict[str, set[str]] = {survey: set() for survey in surveys.NAMES}
    for key, _ in leaves(json_schema()):
        old = functools.reduce(operator.getitem, key.split("."), base)
        if isinstance(old, bool):
            new = not old
        elif isinstance(old, int | float):
            new = old + 1
        else:
            new = [*old, "sv3"] if isinstance(old, list) else f"{old}1"
        for survey, keys in changed.items():
            if digest(merged(base, key, new), survey) != digest(base, survey):
                keys.add(key)
    for survey, keys in changed.items():
        used = {"targets", survey, *(["match"] if survey == "desi" else [])}
        assert {key.partition(".")[0] for key in keys} == used
    others = {key for key, _ in leaves(json_schema())} - set().union(*changed.values())
    assert {key for key in others if not key.startswith(("desi_reduction.", "hetdex_reduction.", "database."))} == {
        "targets.csv",
        "desi.archive",
        "desi.transfer",
        "desi.read_again",
        *(f"{survey}.forbidden_is_absent" for survey in ("desi", "hetdex", "legacysurvey")),
        *(f"desi.globus.{key}" for key in (*GLOBUS, *SOURCE)),
        "hetdex.archive",
        "hetdex.read_again",
        "legacysurvey.read_again",
        "legacysurvey.archive",
        "legacysurvey.transfer",
        "connections",
        "batch_seconds",
        "keep_extracted",
        "results",
    }
    assert digest(dict(reversed(base.items())), "desi") == digest(base, "desi")


@pytest.mark.parametrize(
    ("hetdex", "key", "said"),
    [
        ({"maps": {"enabled": True, "redshift": "Z"}}, "maps.line", "missing: hetdex.maps.redshift needs it"),
        ({"maps": {"enabled": True, "line": "LyA"}}, "maps.redshift", "missing: hetdex.maps.line needs it"),
        (
            {"maps": {"enabled": True, "redshift": "Z", "line": "LyB"}},
            "maps.line",
            "'LyB' is no line; did you mean 'LyA'?",
        ),
        ({"maps": {"enabled": True, "redshift": "Z", "line": -1}}, "maps.line", "expected a positive number"),
        (
            {"maps": {"enabled": True, "redshift": "Z", "line": "OII", "wavelength": "W"}},
            "maps.wavelength",
            "found both wavelength and redshift",
        ),
        ({"maps": {"size_arcsec": 105}}, "maps.size_arcsec", "expected at most 104"),
        ({"catalogue": {"version": "1.5"}}, "catalogue.version", "expected: Version of the catalogue, such as v1.5"),
        ({"detections": {"pictures": "files"}}, "detections.detectids", "missing: hetdex.detections.pictures needs it"),
        ({"detections": {"detectids": "catalogue"}}, "detections.detectids", "hetdex.catalogue.enabled is false"),
        (
            {"detections": {"detectids": "none.csv"}},
            "detections.detectids",
            "expected catalogue, or a file",
        ),
    ],
)
def test_what_is_asked_for_of_hetdexs_products_must_go_together(hetdex, key, said):
    message = refused(MINIMAL | {"hetdex": {"enabled": True} | hetdex})
    assert message.startswith("the configuration has 1 problem(s):")
    assert f"  hetdex.{key}: " in message
    assert said in message


@pytest.mark.parametrize(
    ("legacysurvey", "key", "said"),
    [
        ({"size": 0}, "size", "found 0; expected at least 1"),
        ({"size": 10_000}, "size", "found 10000; expected at most 3600"),
        ({"release": "dr9"}, "bands", "found 'i'; release dr9 has g, r, z"),
        ({"bands": []}, "bands", "it must not be empty"),
        ({"release": "dr1"}, "release", "a release of DESI, which desi.release may name"),
        ({"products": ["images"]}, "products.0", "did you mean 'image'?"),
        ({"aperture_radii_arcsec": [0]}, "aperture_radii_arcsec.0", "expected more than 0"),
        ({"viewer": {"layers": ["ls-dr12"]}}, "viewer.layers", "ls-dr12"),
        ({"viewer": {"layers": ["ls-dr10"], "size": 513}}, "viewer.size", "expected at most 512"),
        ({"viewer": {"layers": ["ls-dr10"], "subimage": True}}, "viewer.subimage", "fits"),
    ],
)
def test_what_is_wrong_with_images_is_said_before_anything_moves(legacysurvey, key, said):
    message = refused(MINIMAL | {"legacysurvey": {"enabled": True} | legacysurvey})
    assert f"  legacysurvey.{key}: " in message
    assert said in message


@pytest.mark.parametrize(
    ("viewer", "key"),
    [
        ({"layers": ["sdss"], "size": "abc"}, "size"),
        ({"layers": ["sdss"], "size": None}, "size"),
        ({"layers": ["sdss"], "bands": [1]}, "bands"),
        ({"layers": 5}, "layers"),
        ({"layers": [{"a": 1}]}, "layers"),
        ({"psf_layers": 7}, "psf_layers"),
    ],
)
def test_a_wrong_value_of_a_section_is_told_and_not_checked_further(viewer, key):
    with pytest.raises(InputError, match=rf"1 problem\(s\):\n  legacysurvey.viewer.{key}"):
        validate({"targets": {"csv": "t.csv"}, "legacysurvey": {"viewer": viewer}})

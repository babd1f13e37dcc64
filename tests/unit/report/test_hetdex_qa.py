"""Pages of HETDEX's quality: what was planted is on the first page with its command; a clean month has nothing bad."""

import csv
import json
import re
import shutil

import pytest

from page_text import Read, check_links
from skyharvest.reduction.hetdex.places import Place
from small_hetdex_quality import Small, pairings, shots

CLEAN, FAULTY = 201901, 201902
PAIRINGS = pairings(3)
DEAD = f"{PAIRINGS[2]}_RU"
WHY = "2 of 15 bias frames can be read; bias.min_frames = 5 <b>are</b> needed"
CUT = "cut short: it ends at byte 50695232 of the tar, which has 49593632"
FEW = "exp01: 2 stars are matched; 4 are needed"


def faulty(small: Small) -> None:
    """Plant a fault of each kind in the second month."""
    first, second, third = [shot for shot in small.shots if shot.startswith(str(FAULTY))]
    small.planted = {
        ("bias", "rms", f"{FAULTY}/{PAIRINGS[0]}_LL"): 14.0,
        ("amp_to_amp", "level", f"{FAULTY}/{PAIRINGS[1]}_LU"): 0.1,
        ("drift", "wave_change", f"{FAULTY}/{PAIRINGS[0]}_RU"): -6.0,
        ("throughput", "response_4540", first): 0.02,
        ("astrometry", "rms_x", f"{first}/exp02"): 1.4,
        ("detections", "flux_limit_4600", f"{second}/{PAIRINGS[1]}"): 60.0,
        **{("science", "pull", f"{one}/{exp}/{PAIRINGS[1]}_RL"): 1.9 for one in small.shots for exp in small.exposures},
        **{("full_sky", "factor", f"{second}/exp03/{ifu}_LL"): 0.3 for ifu in PAIRINGS},
    }
    small.planted = {key: value for key, value in small.planted.items() if str(FAULTY) in key[2]}
    small.failed = {("bias", f"{FAULTY}/{DEAD}"): WHY, ("astrometry", third): FEW}
    small.failed["frames", f"{second}/exp02/{PAIRINGS[0]}_RU"] = CUT
    small.failed |= {
        ("science", f"{shot}/{exposure}/{DEAD}"): WHY for shot in (first, second, third) for exposure in small.exposures
    }
    small.failed |= {(step, third): FEW for step in ("stars", "seds", "throughput", "shots")}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Small:
    small = Small(tmp_path_factory.mktemp("hetdex"), shots(CLEAN, 2) + shots(FAULTY, 3), PAIRINGS)
    faulty(small)
    small.write()
    return small


def bad_of(page: Read) -> str:
    return page.said[page.said.rindex("What is bad") : page.said.rindex("Months and shots")]


def test_every_link_leads_to_a_file_and_a_place_in_it(made):
    assert len(list(made.site.rglob("*.html"))) == 1 + 2 + 5
    assert check_links(made.site) > 150


def test_a_clean_month_has_nothing_bad(made):
    assert str(CLEAN) not in bad_of(Read(made.site / "index.html"))
    for page in sorted((made.site / str(CLEAN)).glob("*.html")):
        text = page.read_text()
        assert "Nothing is bad" in text
        assert '<span class="state OK">OK</span></h1>' in text, page


@pytest.mark.parametrize(
    ("what", "value", "where", "step", "place"),
    [
        ("bias.rms", "14 electron , limit ≤ 10", "300_012_020 LL", "bias", Place(str(FAULTY), PAIRINGS[0])),
        ("amp_to_amp.level", "0.1 , limit ≥ 0.2", "LU", "amp_to_amp", Place(str(FAULTY))),
        ("drift.wave_change", "−6 Å , limit ≥ −4", "300_012_020 RU", "wavelength", Place(str(FAULTY), PAIRINGS[0])),
        ("throughput.response_4540", "0.02 , limit ≥ 0.04", "{0}", "throughput", Place(str(FAULTY), "", "{0}")),
        (
            "detections.flux_limit_4600",
            "60 10⁻¹⁷ erg s⁻¹ cm⁻² , limit ≤ 50",
            "{1}",
            "detections",
            Place(str(FAULTY), PAIRINGS[1], "{1}"),
        ),
        ("astrometry.rms_x", "1.4 ″ , limit ≤ 1", "{0} exp02", "astrometry", Place(str(FAULTY), "", "{0}")),
        ("full_sky.factor", "0.3", "3 amplifiers, {1} exp03", "full_sky", Place(str(FAULTY), "", "{1}", "exp03")),
        ("science.pull", "1.9", "RL, 9 exposures", "science", None),
        ("bias failed", WHY, "302_014_022 RU", "bias", Place(str(FAULTY), PAIRINGS[2])),
        ("frames failed", CUT, "300_012_020 RU, {1} exp02", "frames", None),
        ("astrometry failed", FEW, "{2}", "astrometry", Place(str(FAULTY), "", "{2}")),
    ],
)
def test_what_was_planted_stands_on_the_first_page_with_its_command(made, what, value, where, step, place):
    of_month = [shot for shot in made.shots if shot.startswith(str(FAULTY))]
    bad = bad_of(Read(made.site / "index.html"))
    (line,) = [one for one in bad.split("BAD ") if one.startswith(what)]
    assert value in line
    assert where.format(*of_month) in line
    if place:
        place = Place(*(part.format(*of_month) for part in (place.month, place.ifu, place.shot, place.exposure)))
        product = place.product(step, made.layout)
        assert made.command(step, place) in line
        assert f"snakemake --configfile my.yaml --forcerun {product} -- reduce_hetdex" in line
        assert place.log(step) in line
    elif step == "frames":
        damaged = Read(made.site / "index.html").said.rpartition("Damaged frames")[2]
        assert f"raw/{FAULTY}01/virus/virus0000{of_month[1][9:]}.tar: a_frame.fits {CUT}" in damaged
    else:
        assert re.search(r"science\.py --out \S+/science/201902\S+/exp0\d/" + PAIRINGS[1], line)


def test_what_waits_for_a_failure_is_no_fault_of_its_own(made):
    bad = bad_of(Read(made.site / "index.html"))
    assert bad.count("failed ") == 3
    first = f"{FAULTY}01v010"
    page = Read(made.site / f"{FAULTY}/{first}.html")
    assert "bias failed" not in page.said[: page.said.index("Throughput")]
    missing = page.said[page.said.rindex("Amplifiers that are missing") :]
    assert f"302_014_022 RU waiting science {WHY} exp01 exp02 exp03" in missing
    month = json.loads((made.layout.directory / f"quality/months/{FAULTY}.json").read_text())
    assert [shot["state"] for shot in month["shots"]] == ["BAD"] * 3
    assert [shot["n_missing"] for shot in month["shots"]] == [1, 2, 1]


def test_numbers_of_amplifiers_are_there_for_other_programs(made):
    with (made.site / f"{FAULTY}/amps.csv").open() as stream:
        rows = {f"{row['specid']}_{row['amp']}": row for row in csv.DictReader(stream)}
    assert len(rows) == 12
    assert float(rows["300_LL"]["bias.rms"]) == 14
    assert float(rows["301_RL"]["science.pull"]) == 1.9  # the median of the month
    assert rows["302_RU"]["bias.rms"] == ""
    assert rows["302_RU"]["missing"] == f"bias failed: {WHY}"


def test_months_that_are_no_more_lose_their_pages(made, tmp_path):
    shutil.copytree(made.directory, tmp_path / "small")
    small = Small(tmp_path / "small", shots(CLEAN, 2), PAIRINGS)
    small.pages()
    assert sorted(path.name for path in small.site.iterdir() if path.name.isdigit()) == [str(CLEAN)]
    assert f"Month {FAULTY}" not in Read(small.site / "index.html").said
    assert check_links(small.site) > 50

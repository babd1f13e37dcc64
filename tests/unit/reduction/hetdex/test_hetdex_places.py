"""Logs and products stand where the rules of the workflow have them."""

from pathlib import Path

import pytest

from skyharvest.core.paths import CHECKOUT
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.places import STEPS, Place
from skyharvest.reduction.hetdex.steps import BY_SHOTID, INDEXED, MERGED, OF_SHOT, SWITCHED

RULES = "\n".join(path.read_text() for path in (CHECKOUT / "rules/reduction/hetdex").glob("*.smk"))
UNITS = {"science": ("month", "ifu", "shot", "exposure"), "full_sky": ("month", "shot", "exposure")}
UNITS |= dict.fromkeys((*OF_SHOT, INDEXED, *SWITCHED), ("month", "shot")) | {"amp_to_amp": ("month",)}
UNITS |= {"detections": ("month", "ifu", "shot")} | dict.fromkeys(MERGED, ()) | {"detections_of_month": ("month",)}
BY_NAME = [step for step in STEPS if step not in BY_SHOTID]


@pytest.mark.parametrize("step", BY_NAME)
def test_a_step_has_its_log_and_its_product(step):
    names = UNITS.get(step, ("month", "ifu"))
    logged = Place(**{name: f"{{{{{name}}}}}" for name in names}).log(step)
    assert f'f"{{LOGS}}/{logged}"' in RULES
    made = Place(**{name: f"{{{name}}}" for name in names}).product(step, Layout(Path("there")), "{HETDEX_RELEASE}")
    named = str(made.relative_to("there"))
    assert f'HETDEX_REDUCTION.path({"f" if "HETDEX_RELEASE" in named else ""}"{named}")' in RULES


@pytest.mark.parametrize("step", BY_SHOTID)
def test_a_step_that_is_named_after_the_number_of_a_shot_has_its_log_and_its_product(step):
    place = Place("201901", "", "20190103v012")
    assert f'f"{{LOGS}}/{place.log(step).replace("20190103012", "{{shotid}}")}"' in RULES
    made = place.product(step, Layout(Path("there"))).relative_to("there")
    assert f'HETDEX_REDUCTION.path("{str(made).replace("20190103012", "{shotid}")}")' in RULES


def test_what_is_of_a_shot_has_no_exposure_in_its_log():
    place = Place("201901", "", "20190103v012", "exp02")
    assert place.log("stars") == "hetdex_stars/20190103v012.log"
    assert place.log("full_sky") == "hetdex_full_sky/20190103v012/exp02.log"

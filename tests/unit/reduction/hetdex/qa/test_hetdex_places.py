"""Logs and products stand where the rules of the workflow have them."""

from pathlib import Path

import pytest

from skyharvest.core.paths import CHECKOUT
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.qa.places import STEPS, Place
from skyharvest.reduction.hetdex.steps import OF_SHOT

RULES = "\n".join(path.read_text() for path in (CHECKOUT / "rules/reduction/hetdex").glob("*.smk"))
UNITS = {"science": ("month", "ifu", "shot", "exposure"), "full_sky": ("month", "shot", "exposure")}
UNITS |= dict.fromkeys(OF_SHOT, ("month", "shot")) | {"amp_to_amp": ("month",)}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_its_log_and_its_product(step):
    names = UNITS.get(step, ("month", "ifu"))
    logged = Place(**{name: f"{{{{{name}}}}}" for name in names}).log(step)
    assert f'f"{{LOGS}}/{logged}"' in RULES
    made = Place(**{name: f"{{{name}}}" for name in names}).product(step, Layout(Path("there")))
    assert f'HETDEX_REDUCTION.path("{made.relative_to("there")}")' in RULES


def test_what_is_of_a_shot_has_no_exposure_in_its_log():
    place = Place("201901", "", "20190103v012", "exp02")
    assert place.log("stars") == "hetdex_stars/20190103v012.log"
    assert place.log("full_sky") == "hetdex_full_sky/20190103v012/exp02.log"

"""What a reduction's settings lack is said, with its key; and no password gets in."""

import pytest

from skyharvest.config.load import validate
from skyharvest.core.errors import InputError

WHOLE = {
    "enabled": True,
    "raw": "raw",
    "calibration": "calibration",
    "specprod": "mine",
    "star_templates": "stars.fits",
    "redshift_templates": "redrock",
}


def refused(**own):
    with pytest.raises(InputError) as raised:
        validate({"desi": {"enabled": False}, "desi_reduction": WHOLE | own})
    return str(raised.value)


def test_a_reduction_alone_needs_no_csv():
    assert validate({"desi": {"enabled": False}, "desi_reduction": WHOLE})["targets"]["csv"] is None


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"raw": None}, "desi_reduction.raw: found nothing"),
        ({"star_templates": None}, "desi_reduction.star_templates: found nothing"),
        ({"redshift_templates": None}, "install_redrock_templates"),
        ({"raw_archive": "https://host/data"}, "desi_reduction.exposure_tables: found nothing"),
        ({"raw_archive": "ftp://host/data"}, "address that begins with https:// or http://"),
        ({"raw_archive": "elsewhere"}, "found 'elsewhere'"),
        ({"start_from": {"products": ["psfnight"]}}, "expected both, production and products"),
        ({"start_from": {"production": "iron", "products": ["psfnight"]}}, "start_from.production: found 'iron'"),
        ({"cameras": ["b0", "x1"]}, "desi_reduction.cameras"),
        ({"specprod": "../iron"}, "desi_reduction.specprod"),
        ({"options": {"sky": {"adjust": True}}}, "desi_reduction.options.sky.adjust"),
        ({"options": {"extract": {"b": [3600.0, 5800.0]}}}, "desi_reduction.options.extract.b"),
    ],
)
def test_what_is_missing_or_wrong_is_said(own, said):
    assert said in refused(**own)


def test_no_password_gets_in():
    message = refused(raw_archive="https://vera:hunter2@host/data", exposure_tables="tables")
    assert "desi_reduction.raw_archive" in message
    assert "hunter2" not in message


def test_what_stands_in_for_steps_is_not_asked_for():
    start = {"production": "https://host/iron", "products": ["cframe"]}
    unneeded = dict.fromkeys(("raw", "calibration", "star_templates"))
    given = WHOLE | unneeded | {"start_from": start, "exposure_tables": "tables"}
    filled = validate({"desi": {"enabled": False}, "desi_reduction": given})["desi_reduction"]
    assert {name: filled[name] for name in unneeded} == unneeded
    assert "desi_reduction.exposure_tables: found nothing" in refused(**unneeded, start_from=start)

"""Catalogues of stars: formats, names of columns, and what is wrong in them."""

from pathlib import Path

import fitsio
import numpy as np
import pytest

from running import ROOT
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.stars.star_catalogue import StarCatalogue, read

REAL = ROOT.parent / "shared" / "real" / "hetdex_reduction" / "20180611v017"
ROWS = ((71, 207.5, 51.3, 19.2, 18.1, 17.5, 17.2, 17.0), (72, 0.0, -1.5, -9999.0, 21.0, 20.5, np.nan, 20.1))


def in_format(kind: str, folder: Path) -> Path:
    path = folder / {"fits": "stars.fits", "csv": "stars.csv", "ecsv": "stars.ecsv", "text": "stars.txt"}[kind]
    if kind == "fits":
        names = ["OBJID", "RAJ2000", "DEJ2000", "umag", "gmag", "rmag", "imag", "zmag", "other"]
        fitsio.write(str(path), [np.array(values) for values in (*zip(*ROWS, strict=True), (1, 2))], names=names)
    elif kind == "csv":
        path.write_text(
            "name,Ra,Dec,extra,u,g,r,i,z\n71,207.5,51.3,a,19.2,18.1,17.5,17.2,17.0\n72,0,-1.5,b,-9999,21,20.5,,20.1\n"
        )
    elif kind == "ecsv":
        head = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: id, datatype: int64}\n"
        path.write_text(
            head + "id ra dec u g r i z\n71 207.5 51.3 19.2 18.1 17.5 17.2 17.0\n72 0 -1.5 -9999 21 20.5 nan 20.1\n"
        )
    else:
        head = "".join(f"#col {n}: {name} \n" for n, name in enumerate(("SHOTID", "ID", "RA", "DEC", *"ugriz"), 1))
        path.write_text(f"# 2018\n{head}1 71 207.5 51.3 19.2 18.1 17.5 17.2 17.0\n1 72 0 -1.5 -9999 21 20.5 nan 20.1\n")
    return path


@pytest.mark.parametrize("kind", ["fits", "csv", "ecsv", "text"])
def test_all_formats_are_read_alike(kind, tmp_path):
    made = read(in_format(kind, tmp_path))
    assert made.ids.tolist() == ["71", "72"]
    np.testing.assert_array_equal(made.ra, [207.5, 0.0])
    np.testing.assert_array_equal(made.dec, [51.3, -1.5])
    np.testing.assert_array_equal(made.magnitudes, [ROWS[0][3:], [np.nan, 21.0, 20.5, np.nan, 20.1]])
    assert made.near(0.0001, -1.5, 0.01).ids.tolist() == ["72"]
    assert made.near(359.9999, -1.5, 0.01).ids.tolist() == ["72"]


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_the_list_of_a_real_shot():
    made = read(REAL / "shout.ifustars")
    assert len(made) == 33
    assert (made.ids[0], made.ra[0], made.magnitude("z")[0]) == ("1237661959906852902", 207.506788, 14.18)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,ra,dec,u,g,r,i\n", "found no column z; its columns are id, ra, dec, u, g, r, i; expected one of z, zmag"),
        ("id,ra,dec,u,g,r,i,z\n1,10,x,1,1,1,1,1\n", "row 2, column dec: found x; expected a number"),
        ("id,ra,dec,u,g,r,i,z\n\n1,10,91,1,1,1,1,1\n", "row 3, column dec: found 91.0; expected degrees, -90 … 90"),
        ("id,ra,dec,u,g,r,i,z\n1,nan,9,1,1,1,1,1\n", "row 2, column ra: found nan; expected degrees"),
        ("id,ra,dec,u,g,r,i,z\n1,10,9,1,1,1,1\n", "row 2: found 7 values; expected 8"),
        ("id,ra,dec,u,g,r,i,z\n1,1,9,1,1,1,1,1\n1,2,9,1,1,1,1,1\n", "rows 2 and 3 both have 1"),
        ("id,ra,dec,u,g,r,i,z\n,1,9,1,1,1,1,1\n", "row 2, column id: found nothing"),
        ("id,ra,dec,u,g,r,i,z\n1,1,9,bright,1,1,1,1\n", "row 2, column u: found bright; expected a number"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_is_told(text, told, tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told.replace("(", r"\(")) as caught:
        read(path)
    assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="there is no such file"):
        read(tmp_path / "other.csv")


def test_a_star_that_is_there_twice_is_one(caplog):
    """Catalogues that were put together have stars under two names: each would be blended with itself."""
    ra, dec = (
        np.array([359.99999, 10.0, 1e-5, 10.0, 10.0]),
        np.array([60.0, 5.0, 60.0, 5.0 + 0.2 / 3600, 5.0 + 1 / 3600]),
    )
    ids = np.array(["a", "b", "c", "d", "e"])
    found = StarCatalogue(Path("stars.fits"), ids, ra, dec, np.full((5, 5), 18.0)).each_once()
    assert found.ids.tolist() == ["a", "b", "e"]
    assert "stars.fits: 2 stars in the field more than once" in caplog.text
    assert len(found.take(np.zeros(0, np.int64)).each_once()) == 0

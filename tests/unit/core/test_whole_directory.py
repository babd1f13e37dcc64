"""A directory appears whole, or what stood there stays."""

import pytest

from skyharvest.core.whole_directory import whole_directory


def test_a_directory_whose_making_fails_leaves_the_one_that_was_there(tmp_path):
    (tmp_path / "night").mkdir()
    (tmp_path / "night/index.html").write_text("old")
    (tmp_path / ".night.tmp.left").mkdir()
    with pytest.raises(ValueError, match="no"), whole_directory(tmp_path / "night") as out:
        (out / "index.html").write_text("new")
        raise ValueError("no")
    assert (tmp_path / "night/index.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["night"]
    with whole_directory(tmp_path / "night") as out:
        (out / "other.html").write_text("new")
        (out / "below").mkdir()
    assert sorted(path.name for path in (tmp_path / "night").iterdir()) == ["below", "other.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["night"]


@pytest.mark.parametrize("error", [OSError("FITSIO status = 106"), OSError(28, "FITSIO status = 106")])
def test_an_error_says_what_and_where(tmp_path, error):
    with (
        pytest.raises(OSError, match=f"(?s)(?=.*FITSIO status = 106)(?=.*{tmp_path / 'made'})"),
        whole_directory(tmp_path / "made"),
    ):
        raise error

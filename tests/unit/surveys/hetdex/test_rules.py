"""What HETDEX's rules ask of a release that is somebody's own: it changes, and may be made in the same run."""

from pathlib import Path

import pytest

from skyharvest.config.load import validate
from skyharvest.core.errors import InputError
from skyharvest.surveys import load_harvests

INDEX = Path("results/reduction/hetdex/release/ifu-index.fits")
REDUCTION = dict.fromkeys(("raw", "fplane", "ifucen", "star_catalogue"), "there")


def harvest(archive, release="own", *, made=False, **cubes):
    config = validate(
        {
            "targets": {"csv": "t.csv"},
            "hetdex": {"enabled": True, "archive": archive, "release": release},
            "hetdex_reduction": {"enabled": made, **REDUCTION, "cubes": cubes},
        }
    )
    return load_harvests(config, lambda _survey: "")["hetdex"]


@pytest.mark.parametrize("release", ["own", "pdr1"])
@pytest.mark.parametrize("way", ["{}", "{}/", "./{}", "{cwd}/{}", "{cwd}/{}/", "../here/{}"])
def test_the_reductions_own_release_is_waited_for_however_its_path_is_written(tmp_path, monkeypatch, way, release):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    archive = way.format(INDEX.parent, cwd=Path.cwd())
    assert harvest(archive, release, made=True).own_index(INDEX, made=True) == [str(INDEX)]
    for nobody in ({"made": False}, {"made": True, "enabled": False}):
        with pytest.raises(InputError, match=r"hetdex\.archive: .*there is no such directory"):
            harvest(archive, release, **nobody)
    INDEX.parent.mkdir(parents=True)
    with pytest.raises(InputError, match=r"has no ifu-index\.fits; hetdex_reduction makes it"):
        harvest(archive, release).own_index(INDEX, made=False)
    INDEX.touch()
    assert harvest(archive, release).own_index(INDEX, made=False) == [str(INDEX)]


def test_another_directory_of_ones_own_changes_and_public_releases_do_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(tmp_path)
    Path("elsewhere").mkdir()
    assert harvest(f"link/{INDEX.parent}", made=True).own_index(INDEX, made=True) == [str(INDEX)]
    assert harvest("elsewhere/").own_index(INDEX, made=True) == ["elsewhere/ifu-index.fits"]
    assert harvest("elsewhere", "pdr1").own_index(INDEX, made=True) == []
    assert harvest("https://example.org/own").own_index(INDEX, made=True) == []
    assert harvest("https", "pdr1").own_index(INDEX, made=True) == []

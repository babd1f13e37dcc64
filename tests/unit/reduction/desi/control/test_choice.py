"""Tasks that a person means and that there are not."""

import os

import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.control.choice import Choice
from skyharvest.reduction.desi.control.run import read_list, run_tasks
from skyharvest.reduction.desi.control.standing import Unwell, stand
from skyharvest.reduction.desi.graph import Key
from small_production import NIGHT, done, production


@pytest.mark.parametrize("choice", [Choice(cameras=["b7"]), Choice(nights=[20250116]), Choice(expids=[77])])
def test_a_choice_of_what_is_not_there_is_said(tmp_path, choice):
    standings = stand(production(tmp_path))
    with pytest.raises(InputError, match="no task has"):
        choice.of(standings)
    assert Choice(cameras=["b0"], states=["failed"]).of(standings) == []


@pytest.mark.parametrize("line", ["preproc b0", "preproc b0 20250115", "psfnight b0 20250115/00000001", "sky b0 x/y"])
def test_a_line_that_is_no_task_is_named(tmp_path, line):
    path = tmp_path / "tasks.txt"
    path.write_text(f"# these\n{line}\n")
    with pytest.raises(InputError, match=rf"tasks\.txt, line 2: '{line}' is no task"):
        read_list(path)


def test_tasks_of_a_list_that_the_production_does_not_have_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))  # commands get theirs
    made = production(tmp_path)
    done(made)
    there, other = (Key("preproc", f"{NIGHT}/00000001", camera) for camera in ("b0", "b9"))
    with pytest.raises(Unwell, match=r"no such task: preproc b9 20250115/00000001"):
        run_tasks(made, [there, other], 1)

"""Records of tasks, that several processes write at once."""

import os

from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.records import DONE, Record, Records


def test_processes_do_not_lose_one_anothers_records(tmp_path):
    """Each has read the file when it was empty, as tasks of other cameras begin at the same time."""
    cameras = [f"{arm}{number}" for arm in "brz" for number in range(4)]
    children = []
    for camera in cameras:
        own = Records(tmp_path)
        assert own.get(Key("preproc", "20250115/00000005", camera)) is None
        child = os.fork()
        if child == 0:
            own.put(Key("preproc", "20250115/00000005", camera), Record(camera, DONE, "0"))
            os._exit(0)
        children.append(child)
    assert {os.waitpid(child, 0)[1] for child in children} == {0}
    assert Records(tmp_path).units("preproc", "20250115/00000005") == sorted(cameras)

"""What is asked of HETDEX's archive before a run."""

from collections.abc import Mapping

from skyharvest.harvest.check import Question
from skyharvest.surveys.hetdex.check.cube import one_cube
from skyharvest.surveys.hetdex.check.index import columns_of_index, cubes_near_targets, work
from skyharvest.surveys.hetdex.check.products import catalogue, detections, pictures

__all__ = ["QUESTIONS", "work"]

QUESTIONS: Mapping[str, Question] = {
    "index of cubes": columns_of_index,
    "cubes near the CSV's positions": cubes_near_targets,
    "a cube": one_cube,
    "catalogue": catalogue,
    "detections": detections,
    "pictures": pictures,
}

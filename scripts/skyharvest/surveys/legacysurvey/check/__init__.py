"""What is asked of the Legacy Surveys' archive before a run, and of their viewer."""

from collections.abc import Mapping

from skyharvest.harvest.check import Question
from skyharvest.surveys.legacysurvey.check.bricks import bricks_near_targets, tables_of_bricks, work
from skyharvest.surveys.legacysurvey.check.images import one_brick
from skyharvest.surveys.legacysurvey.viewer.check import viewer

__all__ = ["QUESTIONS", "work"]

QUESTIONS: Mapping[str, Question] = {
    "tables of bricks": tables_of_bricks,
    "bricks of the CSV's positions": bricks_near_targets,
    "a brick": one_brick,
    "viewer": viewer,
}

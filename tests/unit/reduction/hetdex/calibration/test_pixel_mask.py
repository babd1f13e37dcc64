"""Tables of bad pixels, as the field writes them."""

import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration.pixel_mask import boxes_of, masked, read_boxes, write_boxes


def test_boxes_count_from_1_with_both_ends_in_either_order(tmp_path):
    table = tmp_path / "pix_mask.tab"
    table.write_text("amp x1 x2 y1 y2\n311RU 538 556 755 737  # a scratch\n\n020LL 1 1 1 1032\n311RU 5 3 7 7\n")
    boxes = read_boxes(table)
    assert boxes == {"311RU": [(538, 556, 755, 737), (5, 3, 7, 7)], "020LL": [(1, 1, 1, 1032)]}
    bad = masked(boxes["311RU"], (1032, 1032), "table")
    assert bad.sum() == 19 * 19 + 3
    assert bad[736:755, 537:556].all()
    assert bad[6, 2:5].all()
    assert masked(boxes["020LL"], (1032, 1032), "table")[:, 0].all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("311RU 538 556 755", "line 2: found '311RU 538 556 755'"),
        ("311RX 1 2 3 4", "line 2"),
        ("311RU 1 2 3 x", "line 2"),
        ("311RU 0 2 3 4", "found the box 0 2 3 4"),
        ("311RU 1 2 3 1033", "rows to 1032"),
    ],
)
def test_what_is_no_box_is_told_with_its_line(tmp_path, line, message):
    table = tmp_path / "pix_mask.tab"
    table.write_text(f"amp x1 x2 y1 y2\n{line}\n")
    with pytest.raises(InputError, match=message):
        masked(read_boxes(table)["311RU"], (1032, 1032), str(table))


def test_boxes_that_are_written_are_the_pixels(tmp_path):
    bad = np.random.default_rng(2).random((60, 80)) < 0.3
    bad[10:30, 5:9] = True
    bad[50:, 79] = True
    boxes = list(boxes_of(bad))
    assert sum((x2 - x1 + 1) * (y2 - y1 + 1) for x1, x2, y1, y2 in boxes) == bad.sum()  # none twice
    write_boxes(tmp_path / "mask.txt", {"008LL": boxes, "008LU": []})
    np.testing.assert_array_equal(masked(read_boxes(tmp_path / "mask.txt")["008LL"], bad.shape, ""), bad)
    assert len(list(boxes_of(np.ones((7, 9), bool)))) == 1

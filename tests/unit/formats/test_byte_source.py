"""Byte ranges, merged and cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from skyharvest.formats.byte_source import merge


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 40)), max_size=12), st.integers(0, 60))
def test_merged_ranges_cover_the_same_bytes_and_lie_apart(spans, gap):
    ranges = [(start, start + length) for start, length in spans]
    merged = merge(ranges, gap)
    wanted = {k for start, stop in ranges for k in range(start, stop)}
    covered = {k for start, stop in merged for k in range(start, stop)}
    assert wanted <= covered
    assert all(later[0] - earlier[1] > gap for earlier, later in pairwise(merged))
    assert len(covered - wanted) <= gap * max(0, len(ranges) - 1)

"""The page of completeness, in a headless browser as a reader opens it: from disk."""

import pytest

from headless import check_page, show, wait
from skyharvest.report.hetdex_completeness.page import VALUES, write_page
from small_hetdex_completeness import IFUS, write

SIZES = [(1280, 800), (390, 844)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    directory = tmp_path_factory.mktemp("completeness")
    write_page(write(directory), directory / "index.html")
    return directory / "index.html"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_opens_from_disk_without_errors_and_fits(chromium, page, width, height):
    show(chromium, page, width, height)
    assert wait(chromium, "scrollTo(0, 1e6); return document.querySelectorAll('figure.chart svg').length")
    check_page(chromium, width)


def test_numbers_have_an_axis_of_powers_of_ten(chromium, page):
    show(chromium, page)
    ticks = wait(
        chromium,
        """
        const figure = document.querySelector("#noise figure.chart");
        figure.scrollIntoView();
        const texts = [...figure.querySelectorAll("text.tick")].map((one) => one.textContent);
        return texts.length ? texts : null;
        """,
    )
    assert {"10²", "10³", "10⁴"} <= set(ticks)


def test_an_ifu_is_one_cell_of_the_focal_plane(chromium, page):
    show(chromium, page)
    for name in VALUES:
        cells = wait(
            chromium,
            f"""
            const figure = document.querySelector("[data-map={name}]");
            figure.scrollIntoView();
            return figure.querySelector("svg") && figure.querySelectorAll("rect[fill^=rgb]").length;
            """,
        )
        assert cells == len(IFUS)

"""How the pages look at each width and in each scheme, and what they load."""

import itertools

import pytest

from tests.browser.chromium import SCHEMES, WIDTHS, Browser
from tests.browser.conftest import Deployed
from tests.often import mostly

PAGES = {
    "jobs": "/",
    "job that is done": "/jobs/{nightly/reviews-01.jsonl}",
    "job that runs": "/jobs/{slow/yearly-report.jsonl}",
    "job that was rejected": "/jobs/{imports/shop-export.jsonl}",
    "job with failures": "/jobs/{support/tickets.jsonl}",
    "job of 300 parts": "/jobs/{archive/sixty-million-rows.jsonl}",
    "rows": "/jobs/{support/tickets.jsonl}/rows",
    "row": "/jobs/{support/tickets.jsonl}/rows?id=r0000003",
    "costs": "/costs",
    "status": "/status",
    "not found": "/nothing",
}


def path_of(page: str, deployed: Deployed) -> str:
    """The address of a page, with the id of the job that it names."""
    path = PAGES[page]
    for name, job in deployed.jobs.items():
        path = path.replace(f"{{{name}}}", job.id)
    return path


Look = tuple[int, str]  #: a width and a scheme
#: Each width in one of the schemes is looked at each time; in both with `make proofs`.
OFTEN: list[Look] = [*zip(WIDTHS, itertools.cycle(SCHEMES), strict=False)]
LOOKS: list[Look] = [*itertools.product(WIDTHS, SCHEMES)]
#: Which of the widths that the page's styles name the window is over or under.
_LAYOUT = """
return [...document.styleSheets].flatMap(({cssRules}) => [...cssRules]).filter(
  ({media}) => media?.mediaText.includes("width")).map(
  ({media}) => [media.mediaText, matchMedia(media.mediaText).matches].join(" "));
"""


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("looks", mostly(OFTEN, also=[LOOKS]), ids=["some", "all"])
def test_a_page_fits_each_width_and_scheme_and_breaks_no_rule_of_accessibility(
    page: str, looks: list[Look], deployed: Deployed, browser: Browser
) -> None:
    browser.open(path_of(page, deployed))
    wrong = []

    layouts = []
    for width, scheme in looks:
        browser.look(width, scheme)
        found = browser.sideways()
        # A wide window is like one of half its width where no style differs, and its
        # scheme is that of the narrow one.
        layout = browser.run(_LAYOUT)
        if layout not in layouts or looks == LOOKS:
            found += browser.offences()
        layouts.append(layout)
        wrong += [f"{width} {scheme}: {each}" for each in found]
    seen = browser.seen()

    assert wrong == []
    # The answer to the page itself may be 404.
    assert [each for each in seen.console if "status of 404" not in each] == []
    assert {u for u in seen.addresses if not u.startswith(f"{browser.url}/")} == set()

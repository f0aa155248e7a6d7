"""The pages hold together: links and anchors resolve, and the README stays short."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from batchdrop.jobs.job import Job
from batchdrop.ledger.documents import DERIVED

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "functions", "infra", "tests")
PAGES = sorted(
    path
    for paths in (
        ROOT.glob("*.md"),
        *((ROOT / folder).rglob("*.md") for folder in FOLDERS),
    )
    for path in paths
    if ".batchdrop" not in path.parts
)
#: What a link in the README begins with, once the project has an address.
ADDRESS = (
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    .get("urls", {})
    .get("Repository")
)
HERE = f"{ADDRESS}/blob/main/"


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)


def links(page: Path) -> list[str]:
    """The targets of all links, inline and by reference, that lead to our files."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    inline = re.findall(r"\]\(([^)\s]+)\)", text)
    by_reference = re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.M)
    ours = [each.removeprefix(HERE) for each in (*inline, *by_reference)]
    return [each for each in ours if not re.match(r"https?:|mailto:", each)]


def anchors(page: Path) -> set[str]:
    """What GitHub calls the page's headings, and anchors that are written out."""
    found = set(re.findall(r'<a id="([^"]+)">', page.read_text("utf-8")))
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.M):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_a_link_to_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A b\n\n[one](x.md) `[no](y.md)` [two](#a-b)\n\n[three]: z.md#q\n"
    )

    assert links(page) == ["x.md", "#a-b", "z.md#q"]
    assert anchors(page) == {"a-b"}


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_the_readmes_links_work_on_a_package_index() -> None:
    targets = re.findall(r"^\[[^\]]+\]: (\S+)$", prose(ROOT / "README.md"), re.M)

    # An index shows the README alone. So its links are absolute as soon as there is an
    # address, which stands at each link's definition.
    assert len(targets) > 15
    assert ADDRESS is None or all(each.startswith(HERE) for each in targets)


def test_every_page_of_the_docs_is_linked_from_the_readme_or_another_page() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in links(page)
    }

    assert {page for page in PAGES if (ROOT / "docs") in page.parents} <= linked


def test_the_page_of_the_document_explains_each_field() -> None:
    page = (ROOT / "docs/reference/job-document.md").read_text()
    names = {each.name for each in fields(Job)} - {"version"} | set(DERIVED)

    assert {name for name in names if not re.search(rf"`{name}[`.]", page)} == set()

"""`/costs`: what jobs have cost by day and in groups, in few reads."""

import json
import re
from datetime import date
from typing import Any
from urllib.parse import urlencode

from click.testing import CliRunner
from flask.testing import FlaskClient

from batchdrop.cli import main
from tests.dashboard.costs import cost, days, keep, rows
from tests.reads import counted
from tests.worker.world import World

#: Documents that a page may read.
MOST = 60
#: What stands for an amount that there is not.
NONE = "\N{EN DASH}"
IMAGE = "<img src=x onerror=alert(1)>"


def command(*arguments: str) -> dict[str, Any]:
    ran = CliRunner().invoke(main, ["costs", "--json", *arguments])
    assert ran.exit_code == 0, ran.output
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def figures(group: dict[str, Any], unknown: bool = True) -> list[str]:
    """What a row of the page has of a group with one currency."""
    (amount,) = group["costs"] or [None]
    ratio = amount and amount["ratio"]
    return [
        f"{amount['micros'] / 1_000_000:,.2f} USD" if amount else NONE,
        "",  # a bar
        f"{ratio:.2f}" if ratio is not None else NONE,
        f"{group['batches']:,}",
        f"{group['prompt_tokens']:,}",
        f"{group['answer_tokens']:,}",
        *([f"{group['unknown']:,}"] if unknown else []),
    ]


def test_the_page_has_the_figures_of_the_command_and_reads_little(
    deployed: World, pages: FlaskClient
) -> None:
    last = days(deployed, 40)
    unknown: dict[str, Any] = {"micros": None, "currency": "", "compared": False}
    keep(
        deployed,
        [
            *(cost(n, day, micros=1_000_000 + n) for n, day in enumerate(last)),
            *(
                cost(100 + n, day, "ads", model="pro", route="", estimated=1_600_000)
                for n, day in enumerate(last[::3])
            ),
            cost(200, last[2], model="new", **unknown),
        ],
    )

    for by, caption, since in (
        ("model", "Cost by model", last[-1]),
        ("route", "Cost by route", last[30]),
        ("label:team", "Cost by team", last[30]),
        ("model", "Cost by model", last[0]),
    ):
        asked = {"since": f"{since}", "by": by}
        with counted() as counts:
            page = pages.get("/costs", query_string=asked).text
        found = command("--since", f"{since}", "--by", by)

        assert counts["reads"] <= MOST
        assert counts["writes"] == 0
        has_unknown = found["total"]["unknown"] > 0
        assert rows(page, caption) == [
            *(
                [each["name"] or "no route", *figures(each, has_unknown)]
                for each in found["groups"]
            ),
            ["Total", *figures(found["total"], has_unknown)],
        ]
        assert ("The cost of 1 batch isn't known" in page) is has_unknown

    labelled = pages.get("/costs?label=team%3Dads&since=40d").text
    found = command("--since", f"{last[-1]}", "--label", "team=ads", "--by", "model")
    assert rows(labelled, "Cost by model")[-1] == [
        *("Total", *figures(found["total"], unknown=False))
    ]


def test_a_chart_has_a_column_a_day_and_gaps_for_days_without_a_cost(
    deployed: World, pages: FlaskClient
) -> None:
    last = days(deployed, 40)
    keep(deployed, (cost(n, day) for n, day in enumerate([last[0], last[2], last[35]])))

    page = pages.get("/costs?by=day").text
    weeks = pages.get("/costs?by=day&since=40d").text

    table = rows(page, "Cost by day")
    assert [row[0] for row in table] == [f"{day}" for day in last[:31]]
    assert [row[1] for row in table[:4]] == ["1.50 USD", NONE, "1.50 USD", NONE]
    assert page.count('class="place"') == 31
    assert page.count('class="column"') == 2
    assert f"<title>{last[1]}: 0 USD</title>" in page
    assert f"the highest is 1.50, {last[2]}" in page
    found = rows(weeks, "Cost by week")
    assert sum(row[1] != NONE for row in found) == len(
        {day.isocalendar()[:2] for day in (last[0], last[2], last[35])}
    )
    assert sum(int(row[2]) for row in found) == 3


def test_more_groups_than_a_page_reads_are_on_the_next_pages(
    deployed: World, pages: FlaskClient
) -> None:
    last = days(deployed, 31)
    keep(
        deployed,
        [
            *(cost(n, day, model=f"m{n % 20:02}") for n, day in enumerate(last * 2)),
            cost(100, last[0], model="m00", compared=False, estimated=0),
            cost(101, last[0], model="m19", currency="EUR", micros=7_000_000),
            cost(102, last[0], micros=None, currency="", compared=False),
        ],
    )
    names: list[str] = []

    address = "/costs"
    for _ in range(40):
        with counted() as counts:
            page = pages.get(address).text
        assert counts["reads"] <= MOST
        *groups, total = rows(page, "Cost by model")
        names += [row[0] for row in groups]
        assert total[:3] == ["Total of all groups", "7.00 EUR", "94.50 USD"]
        if not (more := re.search(r'href="([^"]+)" rel="next"', page)):
            break
        assert "There are more groups than a page reads." in page
        address = more[1].replace("&amp;", "&")

    assert names == ["flash", *(f"m{n:02}" for n in range(20))]
    assert page.count("<figure") == 2  # no currency is added to another
    assert "First groups" in page


def test_without_costs_the_page_says_what_will_be_counted(
    deployed: World, pages: FlaskClient
) -> None:
    with counted() as counts:
        page = pages.get("/costs").text

    assert "No costs in these days" in page
    assert "A batch counts once it has ended" in page
    assert "<svg" not in page
    assert "No day has a ceiling" in page
    assert counts["reads"] < 10


def test_costs_that_are_all_unknown_are_no_zeros(
    deployed: World, pages: FlaskClient
) -> None:
    (today,) = days(deployed, 1)
    keep(deployed, [cost(1, today, micros=None, currency="", compared=False)])

    page = pages.get("/costs").text

    assert "<dt>Cost</dt><dd>not known</dd>" in page
    assert "<figure" not in page
    assert "0.00" not in page


def test_today_is_shown_against_its_ceilings(
    deployed: World, pages: FlaskClient
) -> None:
    deployed.choose(
        max_cost_per_day=10,
        routes='[[route]]\nname = "<b>"\nmatch = "a*"\nmax_cost_per_day = 1\n',
    )
    day = f"{deployed.now():%Y-%m-%d}"
    deployed.database.document(f"ceilings/{day}").set(
        {"micros": 4_200_000, "routes": {"<b>": 1_000_000}}
    )

    page = pages.get("/costs").text

    assert "4.20 of 10.00 USD reserved<" in page
    assert "1.00 of 1.00 USD reserved; nothing is left" in page
    assert "Cost of route &lt;b&gt;" in page
    assert '<rect class="used" width="42.0"' in page
    assert '<rect class="full" width="100.0"' in page


def test_texts_of_users_are_escaped_and_lead_to_what_they_name(
    deployed: World, pages: FlaskClient
) -> None:
    (today,) = days(deployed, 1)
    odd = "a\N{RIGHT-TO-LEFT OVERRIDE}b&label=c"
    keep(
        deployed,
        [
            cost(1, today, IMAGE, route="<script>"),
            cost(2, today, odd, model="<b>"),
            cost(3, today, odd),
            cost(4, today, labels={}, label_pairs=()),
        ],
    )

    by_label = pages.get("/costs?by=label:team").text
    by_route = pages.get("/costs?by=route").text
    (link,) = re.findall(r'href="(/costs\?label=[^"]+)"[^>]*><bdi>a', by_label)
    labelled = pages.get(link.replace("&amp;", "&")).text

    for page in (by_label, by_route, labelled):
        assert "<img src=x" not in page
        assert "<b>&" not in page
        assert "<script>" not in page
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in page
    assert rows(by_label, "Cost by team")[0][0] == IMAGE
    assert "The total has all jobs, also those without the label team." in by_label
    assert "The total has all jobs" not in by_route
    assert rows(by_route, "Cost by route")[0][0] == "<script>"
    assert 'href="/?route=%3Cscript%3E"' in by_route
    assert rows(labelled, "Cost by model")[-1][4] == "2"


def test_what_cant_be_asked_is_refused_with_what_to_write(
    deployed: World, pages: FlaskClient
) -> None:
    tomorrow = deployed.now().date().replace(year=deployed.now().year + 1)
    for asked, text in (
        ({"since": "tomorrow"}, "write days, such as 30d, or a day"),
        ({"since": f"{tomorrow}"}, "write a day until today"),
        ({"since": f"{date.min}"}, "write at most 1830d"),
        ({"since": "9999d"}, "write at most 1830d"),
        ({"by": IMAGE}, "write day, model, route or label:KEY"),
        ({"by": "label:a`b"}, "write day, model, route or label:KEY"),
        ({"label": "team"}, "write KEY=TEXT"),
        ({"by": "label:team", "label": "team=a"}, "Write either by=label:KEY or"),
        ({"label": f"team={'x' * 1496}"}, "Write at most 1,500 bytes"),
    ):
        answer = pages.get(f"/costs?{urlencode(asked)}")

        assert answer.status_code == 400, asked
        assert text in answer.text
        assert IMAGE not in answer.text

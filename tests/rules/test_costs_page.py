"""The example on the page about costs: its file, and what it costs."""

import io
import re
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from batchdrop.cli import file_check
from batchdrop.preflight import MODEL
from batchdrop.pricing import Prices

PAGE = (Path(__file__).parents[2] / "docs/explanation/costs.md").read_text()


def checked(tmp_path: Path, today: date) -> str:
    """What `batchdrop check` prints of the page's file on a day."""
    [script] = re.findall(r"<<'END'\n(.*?)^END$", PAGE, re.M | re.S)
    file = tmp_path / "tickets.jsonl"
    made = subprocess.run([sys.executable, "-c", script], capture_output=True)
    file.write_bytes(made.stdout)
    report = file_check.check(
        str(file),
        backend="vertex",
        model=MODEL,
        location="us-central1",
        output=None,
        only_unanswered=False,
        unknown="reject",
        places=(),
        prices=Prices.load(),
        answer_tokens=300,
        today=today,
        most=20,
    )
    out = io.StringIO()
    file_check.show(report, Console(file=out, width=200))
    return out.getvalue()


def test_the_example_costs_what_the_page_says(tmp_path: Path) -> None:
    told = checked(tmp_path, date(2026, 12, 31))

    assert f"{MODEL} until 2026-12-31" in PAGE
    assert re.search(r"^    10,000 rows are good.*\n(    .*\n)+", PAGE, re.M)
    for line in told.splitlines():
        assert f"\n    {line}\n" in PAGE


def test_the_example_costs_twice_as_much_in_january(tmp_path: Path) -> None:
    assert "about 16.37 USD" in checked(tmp_path, date(2027, 1, 1))
    assert "From 2027-01-01 on it costs twice as much" in PAGE


def test_the_table_of_the_example_adds_up() -> None:
    rows = re.findall(
        r"^\| [a-z, ]+ \| ([\d,]+) \| ([\d.]+) \| x ([\d.]+) \| ([\d.]+) \|$",
        PAGE,
        re.M,
    )
    [whole] = re.findall(r"^\| the file \|[ |]+\| ([\d.]+) \|$", PAGE, re.M)

    assert len(rows) == 2
    for tokens, price, factor, to_pay in rows:
        millions = Decimal(tokens.replace(",", "")) / 1_000_000
        assert millions * Decimal(price) * Decimal(factor) == Decimal(to_pay)
    assert sum(Decimal(row[-1]) for row in rows) == Decimal(whole)


def test_everything_else_adds_up_to_what_the_page_says() -> None:
    tables = PAGE.partition("\n## Everything else\n")[2]
    amounts = re.findall(r"\| ([\d.]+)(?: to ([\d.]+))? \|$", tables, re.M)
    least = sum(Decimal(least) for least, _ in amounts)
    most = sum(Decimal(most or least) for least, most in amounts)

    assert len(amounts) > 15
    assert f"costs {least:.0f} to {most:.0f} USD in that month" in PAGE

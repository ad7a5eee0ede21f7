# SPDX-License-Identifier: GPL-2.0-only
"""The HTML report: what it holds, what it does with what is not ours, and how a browser sees it."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests import synthetic
from tests.browser import Browser, browser
from tests.needs import needs
from vmabench.analysis.levels import MECHANISMS
from vmabench.matrix.case import Case
from vmabench.report.build import Report
from vmabench.report.page.drawings import fit
from vmabench.store.format import Record, Result

CASES = synthetic.cases(("clone", *synthetic.MECHANISMS))
HOSTILE = (
    "</pre><script>document.title='owned'</script><img src=http://x.invalid/a onerror=alert(1)>\"'"
)
SECTIONS = (
    "Findings", "Crossover map", "Throughput against size", "Where the time goes",
    "What it costs", "What the scenarios show", "Did the machine hold still?", "Every number",
    "What can run here", "Machine", "How to reproduce", "How to read it",
)  # fmt: skip


def result() -> Result:
    """With clone, and with a doctor's finding."""
    made = synthetic.records(CASES, rounds=4)
    for record in made:
        for value in record.get("values", ()):
            value["peak_bytes"] = 3 << 20
    found = {"mechanism": "xpmem", "page": "4K", "state": "blocked", "reason": "no /dev/xpmem"}
    machine = {"facts": synthetic.FACTS, "doctor": [found]}
    return replace(synthetic.result(made), machine=machine)


def hostile() -> Result:
    """Every text that a stranger could have written says something to a browser."""
    made = synthetic.records(synthetic.cases(("fork", "readv"), scenarios=("transfer",)), rounds=2)
    made[0] = made[0] | {"kernel": HOSTILE, "plan": HOSTILE, "seed": HOSTILE, "started": HOSTILE}
    made[1] = made[1] | {"reason": HOSTILE}
    strange = Case("<b>$x_{$", "transfer", "4K", 4096)
    made.append({"kind": "skipped", "case": str(strange), "reason": HOSTILE})
    machine = {
        "facts": {"cpu_model": HOSTILE, HOSTILE: [HOSTILE], "nested": {HOSTILE: None}},
        "doctor": [{"mechanism": HOSTILE, "page": HOSTILE, "state": 1, "reason": HOSTILE}, "no"],
    }
    plan = {"name": HOSTILE, "sweep": [{"mechanism": [HOSTILE]}]}
    return replace(synthetic.result(made), machine=machine, plan=plan)


class Tags(HTMLParser):
    """The elements of a page, and the text of its headings."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "h2" and data.strip():
            self.headings.append(data)


@pytest.fixture(scope="module")
def whole() -> Report:
    return Report(result())


@pytest.fixture(scope="module")
def page(whole: Report) -> str:
    return whole.html()


def test_it_has_every_section_and_figure(page: str) -> None:
    found = Tags(page)
    assert [name for name in found.headings if name in SECTIONS] == list(SECTIONS)
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert "clone: how many times as fast as readv" in titles
    assert {"4K pages", "2M pages"} <= set(titles)
    assert "deliver 16M, 4K pages, then write 100 %" in titles
    assert "peak memory: transfer 64M, 4K pages" in titles
    assert not any("swap" in title for title in titles)  # not measured
    assert page.count("<figcaption>") == page.count("</figure>") == len(titles)
    assert "no /dev/xpmem" in page


def test_the_map_of_shares_is_there_where_it_was_measured(page: str) -> None:
    made = [
        Case(mechanism, "touch", "4K", size, "read", pct)
        for mechanism in ("fork", "readv", "memfd")
        for size in (4096, 1 << 20)
        for pct in (0, 100)
    ]
    title = "Who is the fastest, by size and share of the pages used afterwards"
    with_shares = Report(synthetic.result(synthetic.records(made, rounds=5, values=1))).html()
    assert f"<figcaption>{title}</figcaption>" in with_shares
    assert title not in page


def test_words_around_a_figure_are_inside_of_it_and_its_data_has_the_rest() -> None:
    figure = Figure(figsize=(4.6, 3.4))
    axes = figure.add_axes((0.2, 0.2, 0.75, 0.7))
    axes.plot([1, 1000], [1, 1000])
    axes.set_yticks([1, 1000], ["a mechanism with a long name", "readv"])
    axes.set_xticks([1000], ["a label that reaches out"])
    axes.set_xlabel("two\nlines")
    fit(axes)
    words, whole = axes.get_tightbbox(), figure.bbox
    assert words is not None
    assert whole.containsx(words.x0)
    assert whole.containsy(words.y0)
    assert whole.containsx(words.x1)
    assert whole.containsy(words.y1)
    assert words.width > 0.95 * whole.width
    assert words.height > 0.95 * whole.height


def with_round_trips() -> Result:
    waits = ("futex", "busy")
    made = [Case("readv", "pingpong", "4K", 64, wait=wait) for wait in waits]
    latencies: list[Record] = [
        {
            "kind": "latency", "round": number, "case": str(case), "count": 2000,
            "sum_ns": 2000 * 1000, "max_ns": 90_000, "buckets": {"500": 1990, "900": 10},
        }
        for case in made
        for number in range(1, 7)
    ]  # fmt: skip
    return replace(synthetic.result(synthetic.records(made)), latencies=latencies)


def test_percentiles_of_round_trips_are_drawn_and_told() -> None:
    page = Report(with_round_trips()).html()
    assert "Round trips of small messages" in Tags(page).headings
    assert "<figcaption>64 there and back, 4K pages</figcaption>" in page
    table = page.partition("Single operations")[2].partition("</table>")[0]
    assert table.count("<tr>") == 3
    assert "90.0 us" in table
    drawing = page.partition("64 there and back")[2].partition("</svg>")[0]
    assert "readv, futex" in drawing
    assert "readv, busy" in drawing


def test_it_needs_nothing_else_and_is_small(page: str) -> None:
    assert len(page.encode()) < 3e6
    for tag, attributes in Tags(page).tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:")), (tag, address)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_ids_are_unique(page: str) -> None:
    found = re.findall(r'\sid="([^"]+)"', page)
    assert len(found) == len(set(found))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(found)


def test_every_case_is_in_the_table(page: str) -> None:
    table = page.partition("All cases")[2].partition("</table>")[0]
    assert (
        table.count("<tr>") == len(CASES) + 1
    )  # and the head; clone's skipped case has values too


def test_it_is_the_same_each_time() -> None:
    cases = [
        case
        for case in synthetic.cases(("fork", "readv"), scenarios=("deliver",))
        if case.size_bytes in (4096, 1 << 20) and case.page == "4K"
    ]
    small = synthetic.result(synthetic.records(cases, rounds=2))
    assert Report(small).html() == Report(small).html()


def test_what_is_not_ours_is_escaped() -> None:
    page = Report(hostile()).html()
    tags = Tags(page).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert not any(tag in ("img", "b") for tag, _ in tags)
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert page.count("&lt;script&gt;") > 5


def counted() -> Result:
    made = synthetic.records(synthetic.cases(("fork", "readv"), scenarios=("deliver",)), rounds=2)
    made[0] = made[0] | {"clock": "instructions"}
    return synthetic.result(made)


def nothing() -> Result:
    return synthetic.result(synthetic.records([], rounds=0)[:2])


def one_case() -> Result:
    return synthetic.result(synthetic.records([Case("readv", "transfer", "4K", 4096)], rounds=1))


def no_clone() -> Result:
    return synthetic.result(synthetic.records(synthetic.cases(("readv",)), rounds=2))


@pytest.mark.parametrize("made", [nothing, one_case, no_clone, counted])
def test_little_data_is_a_page_too(made: object, recwarn: pytest.WarningsRecorder) -> None:
    assert callable(made)
    page = Report(made()).html()
    assert ("Nothing was measured" in page) == (made is nothing)
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert "<path" in drawing  # never an empty figure
    assert not [str(warning.message) for warning in recwarn]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as one:
        yield one


@needs("chromium")
def test_a_browser_has_nothing_to_complain_of_and_nothing_overflows(
    page: str, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    for width, media in ((1280, ""), (390, ""), (390, "dark")):
        chromium.open(path, width, media=media)
        assert chromium.complaints() == []
        assert chromium.ask("return document.documentElement.scrollWidth") <= width
        drawn = chromium.ask(
            "return Array.from(document.querySelectorAll('figure svg'),"
            " (one) => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])"
        )
        assert len(drawn) == page.count("</figure>")
        assert all(size[0] > 200 and size[1] > 80 for size in drawn)


@needs("chromium")
def test_dark_is_dark_and_paper_is_white(page: str, chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    colours = (
        "return [getComputedStyle(document.documentElement).backgroundColor,"
        " getComputedStyle(document.querySelector('figure svg text')).fill]"
    )
    chromium.open(path)
    assert chromium.ask(colours) == ["rgb(255, 255, 255)", "rgb(28, 28, 28)"]
    chromium.open(path, media="dark")
    assert chromium.ask(colours) == ["rgb(23, 24, 26)", "rgb(232, 230, 227)"]
    chromium.open(path, media="print")
    assert chromium.ask(colours)[0] == "rgb(255, 255, 255)"
    assert chromium.printed().startswith(b"%PDF")


@needs("chromium")
def test_tables_are_sorted_by_number_and_copied_as_text(
    page: str, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    chromium.open(path)
    sort = """
        const table = Array.from(document.querySelectorAll("summary"))
          .find((one) => one.textContent.startsWith("All cases")).parentNode.querySelector("table");
        const column = Array.from(table.tHead.rows[0].cells)
          .findIndex((one) => one.textContent === "time");
        table.tHead.rows[0].cells[column].querySelector("button").click();
        return Array.from(table.tBodies[0].rows, (row) => row.cells[column].dataset.k)
          .filter((key) => key !== undefined).map(Number);
    """
    up = chromium.ask(sort)
    assert len(up) > 100
    assert up == sorted(up)
    assert chromium.ask(sort) == sorted(up, reverse=True)
    chromium.ask("document.execCommand = () => { window.copied ="
                 " document.activeElement.value; return true; };"
                 " navigator.clipboard.writeText = () => Promise.reject();"
                 " document.querySelector('button.copy').click();")  # fmt: skip
    copied = chromium.ask("return window.copied").splitlines()
    assert copied[0].split("\t")[:4] == ["mechanism", "scenario", "page", "size"]
    assert len({line.count("\t") for line in copied}) == 1


@needs("chromium")
def test_a_hostile_page_does_nothing(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(Report(hostile()).html(), encoding="utf-8")
    chromium.open(path, 390)
    assert chromium.complaints() == []
    assert chromium.ask("return document.title") != "owned"
    assert chromium.ask("return document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_all_mechanisms_fit_into_the_size() -> None:
    """Slow: it draws every mechanism at every size."""
    made = [
        Case(mechanism, scenario, page, size, *touch)
        for mechanism in MECHANISMS
        for page, sizes in (("4K", synthetic.SIZES), ("2M", synthetic.HUGE_SIZES))
        for size in sizes
        for scenario, touch in (("transfer", ()), ("deliver", ("read", 100)))
    ]
    page = Report(synthetic.result(synthetic.records(made, rounds=2, values=1))).html()
    assert len(page.encode()) < 3e6
    assert "4K pages: through a buffer" in page


def test_the_tables_of_the_scenarios_stand_there_as_in_the_text(whole: Report, page: str) -> None:
    text = whole.text()
    tables = [part for part in text.split("\n\n") if "page tables of both processes" in part]
    assert tables
    assert all(table in html.unescape(page) for table in tables)

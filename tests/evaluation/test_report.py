"""The report that stands on its own."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from niyama_eval.report import About, write_report

from tests.evaluation.runs import RUNS

ABOUT = About(
    title="Two policies, <the same> requests",
    lead="Once each & alike.",
    settings={"load_factor": 1.3, "classes": {"chat": "<6s>"}, "command": "a && b"},
    reproduce='make demo TRACE="code.csv <conv.csv>"',
    source="Azure LLM inference trace 2023 (CC-BY 4.0)",
)
VOID = {"meta", "img", "br", "link"}


class Outline(HTMLParser):
    """Collects tags and text, and fails on a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "out"
    write_report(folder, RUNS, about=ABOUT, class_names=["nightly", "chat"])
    return folder


def outline(folder: Path) -> Outline:
    parser = Outline()
    parser.feed((folder / "report.html").read_text(encoding="utf-8"))
    parser.close()
    return parser


def test_a_report_lies_beside_its_plots_and_its_figures(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "results.json", "attainment.png", "ttft.png", "ttlt.png", "timeline.png"}
    document = json.loads((folder / "results.json").read_text())
    assert document["load_factor"] == 1.3
    assert set(document["policies"]) == set(RUNS)


def test_the_page_is_well_formed_and_fetches_nothing(folder: Path) -> None:
    page = outline(folder)
    assert page.open == []
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe"})
    sources = [attributes[name] or "" for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"url\(|@import", (folder / "report.html").read_text())


def test_whatever_came_from_outside_is_shown_and_never_obeyed(folder: Path) -> None:
    page = outline(folder)
    for words in (ABOUT.title, ABOUT.lead, ABOUT.reproduce, "a && b", '{"chat": "<6s>"}', ABOUT.source):
        assert words in page.text
    assert not {tag for tag, _ in page.tags} & {"the", "conv.csv", "6s"}


def test_a_class_named_like_a_tag_stays_text(tmp_path: Path) -> None:
    spoofed = [replace(RUNS["niyama"][0], qos_class="<script>alert(1)</script>")]
    write_report(tmp_path, {"<b>niyama</b>": spoofed}, about=ABOUT)
    page = outline(tmp_path)
    assert "<script>alert(1)</script>" in page.text
    assert "script" not in {tag for tag, _ in page.tags}


def test_the_table_of_the_page_shows_classes_in_the_order_that_was_asked_for(folder: Path) -> None:
    text = outline(folder).text
    assert text.index("nightly: whole answer in 60s") < text.index("chat: first token in 1s")
    assert text.index("sarathi-fcfs") < text.index("niyama")


def test_every_picture_says_in_words_what_it_shows(folder: Path) -> None:
    pictures = [attributes for tag, attributes in outline(folder).tags if tag == "img"]
    assert all(len(attributes["alt"] or "") > 20 for attributes in pictures)


def test_the_page_follows_the_readers_light_or_dark_setting(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "prefers-color-scheme: dark" in page
    assert "color-scheme: light dark" in page

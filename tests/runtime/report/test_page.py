"""The page of a run, taken apart by a parser; tests/test_page_in_browser.py opens one."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.report.events import Event
from dmh_edge.runtime.report.overview import OverTime, Quantity
from dmh_edge.runtime.report.page import page
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.report.tally import Tally
from dmh_edge.runtime.sessions.fake_session import fake_contract
from dmh_edge.task import ContinuousAction

CONTRACT = fake_contract(TWO_JOINTS.model_copy(update={"name": '<two> & "joints"'}))
OVER_TIME = OverTime(
    width_s=0.02,
    times=(
        Quantity(name="lateness", low=(50, 60, None, 50), high=(80, 90, None, 4000)),
        Quantity(name="total", low=(900, 950, None, 900), high=(1000, 1100, None, 31_000)),
    ),
    actions=(
        Quantity(name="shoulder_velocity", low=(-0.5, -0.4, None, 0.1), high=(-0.3, 0.0, None, 0.2)),
        Quantity(name="elbow_velocity", low=(-1.0, -1.0, None, 1.0), high=(-1.0, -1.0, None, 1.0)),
    ),
)
_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Parsed(HTMLParser):
    """Elements, text and nesting of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def tally_of(total_us: tuple[int, ...] = (900, 1000, 1100, 31_000)) -> Tally:
    tally = Tally(slots=9, ticks=8, overruns=1, skipped_slots=1, returns=[1.5, 2.5, 2.0], stopped_by="guard")
    tally.detail = "reward <missing>"
    for microseconds in total_us:
        for durations in (tally.durations["actor"].lateness, tally.durations["actor"].total):
            durations.add(1000 * microseconds)
    return tally


def page_of(tally: Tally, lines: OverTime | None = OVER_TIME) -> str:
    events = (
        Event(what="self-tested", at_ns=4 * 10**9, until_ns=4 * 10**9, slot=-1, times=1),
        Event(what="armed", at_ns=5 * 10**9, until_ns=5 * 10**9, slot=-1, times=1),
        Event(what="reward <missing>", at_ns=5_500_000_000, until_ns=5_540_000_000, slot=25, times=3),
    )
    faults = {Fault.REWARD_MISSING: 1}
    summary = Summary.of(tally, CONTRACT, backend="fake", rate_hz=50.0, faults=faults, unrecorded=0, events=events)
    return page(summary, CONTRACT, "a" * 64, tally.durations, lines)


def charts(text: str) -> list[ET.Element]:
    """Every drawing; each is XML."""
    found = []
    while "<svg" in text:
        start, end = text.index("<svg"), text.index("</svg>") + len("</svg>")
        found.append(ET.fromstring(text[start:end]))
        text = text[end:]
    return found


def test_it_is_well_formed_and_says_everything_that_it_has_to_say():
    text = page_of(tally_of())
    words = " ".join(Parsed(text).words)
    for said in (
        "Stopped by guard: reward <missing>",
        "reward missing",
        "1 time",
        '<two> & "joints" at 50 Hz',
        "a" * 64,
    ):
        assert said in words
    assert "0" * 64 in words  # the weights'
    assert "10.0000%" in words  # one slot of ten
    titles = [chart.findtext("title") for chart in charts(text)]
    assert titles == [
        "ticks by us",
        "longest lateness, us by seconds",
        "longest total, us by seconds",
        "shoulder_velocity, rad/s by seconds",
        "elbow_velocity, rad/s by seconds",
        "return by episode",
    ]


def test_it_needs_nothing_from_anywhere():
    text = page_of(tally_of())
    elements = Parsed(text).elements
    assert not {tag for tag, _ in elements} & {"script", "link", "img", "iframe", "object", "image", "use"}
    assert not {name for _, attributes in elements for name in attributes} & {"src", "href", "srcset", "data"}
    assert not [word for word in ("url(", "@import", "http:", "https:") if word in text.replace("http-equiv", "")]
    policy = dict(elements)["meta"]
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def place(chart: ET.Element, style: str, name: str) -> list[float]:
    return [float(element.get(name, "nan")) for element in chart.iter() if element.get("class") == style]


def test_what_took_longer_than_the_budget_stands_right_of_its_line_and_the_rest_left():
    chart = charts(page_of(tally_of()))[0]
    (budget,) = (float(line.get("x1", "nan")) for line in chart.iter("line") if line.get("class") == "limit")
    right = [left >= budget - 12 for left in place(chart, "actor", "x")]  # a bar is up to 12 wide
    assert right.count(True) == 1
    assert right.count(False) >= 1


def test_a_bar_is_as_high_as_its_line_over_time_and_what_nothing_is_known_of_is_left_out():
    chart = charts(page_of(tally_of()))[2]
    (budget,) = {float(line.get("y1", "nan")) for line in chart.iter("line") if line.get("class") == "limit"}
    tops = place(chart, "actor", "y")
    assert len(tops) == 3
    assert tops[2] < budget < tops[0]


def test_actions_stay_between_their_limits_and_touch_them_where_they_did():
    shoulder, elbow = charts(page_of(tally_of()))[3:5]
    limits = sorted({float(line.get("y1", "nan")) for line in elbow.iter("line") if line.get("class") == "limit"})
    for chart in (shoulder, elbow):
        downs = [float(pair.split(",")[1]) for band in chart.iter("polygon") for pair in band.get("points", "").split()]
        assert limits[0] - 0.6 <= min(downs) <= max(downs) <= limits[1] + 0.6
    assert len(list(elbow.iter("polygon"))) == 2  # a gap between them
    assert abs(max(downs) - limits[1]) < 0.6
    assert abs(min(downs) - limits[0]) < 0.6


@pytest.mark.parametrize(
    "lines", [None, OVER_TIME.model_copy(update={"times": (Quantity(name="x", low=(), high=()),) * 2})]
)
def test_a_run_of_which_nothing_is_known_has_a_page_too(lines):
    text = page_of(Tally(), lines)
    Parsed(text)
    assert "no records of the run" in text
    assert "nan" not in text
    assert "inf" not in text.replace("infer", "")


def test_a_single_duration_and_equal_returns_make_a_picture():
    tally = tally_of((1000,))
    tally.returns = [0.0] * 200
    Parsed(page_of(tally))
    assert isinstance(CONTRACT.task.action, ContinuousAction)


def test_what_happened_is_told_with_its_time_since_the_robot_was_armed():
    words = Parsed(page_of(tally_of())).words
    course = {words[place + 1]: words[place] for place in range(len(words) - 1)}
    assert course["self-tested"] == "-1.000 s"
    assert course["reward <missing>, 3 times in 0.040 s"] == "+0.500 s"


@pytest.mark.parametrize(("by", "colour"), [("watchdog", "bad"), ("guard", "bad"), ("error", "bad"), ("ticks", "good")])
def test_an_end_that_nobody_wanted_is_marked(by, colour):
    tally = tally_of()
    tally.stopped_by = by
    assert ("p", {"class": colour}) in Parsed(page_of(tally)).elements

"""The page of a run: one HTML file that needs no other file, to look at, keep and send.

It shows the content of `summary.json`, and charts over time from the records; without records, it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from xml.etree import ElementTree as ET

from dmh_edge.clock import NS_PER_S
from dmh_edge.contract import PolicyContract
from dmh_edge.runtime.report.events import Event, Moment
from dmh_edge.runtime.report.overview import OverTime, Quantity
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.report.svg import Axis, Chart
from dmh_edge.runtime.report.tally import Durations, SlotKind
from dmh_edge.task import ContinuousAction

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 760px; margin: 24px auto; padding: 0 16px; color: #1c2430; }
h1 { font-size: 22px; margin: 0 0 4px } h2 { font-size: 16px; margin: 28px 0 6px }
.good { color: #14703a } .bad { color: #b3261e } .note { color: #5a6675 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: 3px 12px 3px 0; vertical-align: top;
border-bottom: 1px solid #e3e7ec; font-weight: normal } th { color: #5a6675; white-space: nowrap }
td.number, th.number { text-align: right } code { font-size: 13px; overflow-wrap: anywhere }
svg { display: block; max-width: 100%; height: auto; margin: 4px 0 10px }
svg text { font: 11px system-ui, sans-serif; fill: #5a6675 } svg text.limit { fill: #b3261e; stroke: none }
.grid { stroke: #e3e7ec } .limit { stroke: #b3261e; stroke-dasharray: 5 3 } line { shape-rendering: crispEdges }
.line { fill: none; stroke-width: 1.5 } .band { stroke: none }
.actor { fill: #3b6fb6 } .boundary { fill: #d98a1f; fill-opacity: .75 }
.line.data { stroke: #3b6fb6 } .mark.data, .band.data { fill: #3b6fb6 }
.key { display: inline-block; width: 11px; height: 11px; margin: 0 5px 0 14px }
.key.actor { background: #3b6fb6 } .key.boundary { background: #d98a1f }
"""
_KINDS: Final[Mapping[SlotKind, str]] = {"actor": "actor ticks", "boundary": "boundary ticks", "no_step": "no step"}
_BARS_PER_DECADE: Final = 24
#: Number of action elements that are shown; of larger actions, the first ones.
_MOST_ACTIONS: Final = 16
_MOST_EVENTS: Final = 48


def page(
    summary: Summary,
    contract: PolicyContract,
    policy_sha256: str,
    durations: Mapping[SlotKind, Durations],
    lines: OverTime | None,
) -> str:
    """The text of the page.

    Args:
        summary: the report.
        contract: contract of the policy.
        policy_sha256: identity of the policy.
        durations: durations of each kind of slot, for the histograms.
        lines: the run over time; None where there are no records.
    """
    budget_us = 1e6 / summary.rate_hz
    html = ET.Element("html", lang="en")
    head = _add(html, "head")
    _add(head, "meta", charset="utf-8")
    _add(
        head,
        "meta",
        **{"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"},
    )
    title = f"{summary.policy} on {summary.backend} at {summary.rate_hz:g} Hz"
    _add(head, "title", title)
    _add(head, "style", _STYLE)
    body = _add(html, "body")
    _add(body, "h1", title)
    went_well = summary.stopped_by not in ("guard", "watchdog", "error")
    _add(body, "p", f"Stopped by {summary.stopped_by}: {summary.detail}", **{"class": "good" if went_well else "bad"})
    _facts(body, _counts(summary))

    _add(body, "h2", "From a slot's time to its end")
    legend = _add(body, "p", "", **{"class": "note"})
    for kind in ("actor", "boundary"):
        _add(legend, "span", "", **{"class": f"key {kind}"}).tail = _KINDS[kind]
    body.append(_histogram(durations, budget_us))
    _timing(body, summary)

    _add(body, "h2", "Over time")
    if lines is None or not lines.times[0].high:
        _add(body, "p", "There are no records of the run's course.", **{"class": "note"})
    else:
        for line in lines.times:
            body.append(_over_time(line, lines.width_s, budget_us))
        _add(body, "h2", "Actions as applied, with their limits")
        for index, line in enumerate(lines.actions[:_MOST_ACTIONS]):
            body.append(_action(line, lines.width_s, contract, index))
        if (left_out := len(lines.actions) - _MOST_ACTIONS) > 0:
            _add(body, "p", f"{left_out} more elements are in the records.", **{"class": "note"})

    _add(body, "h2", "Return per episode")
    if summary.returns:
        body.append(_returns(summary.returns, contract.task.target_return))
    _add(body, "p", f"{len(summary.returns)} finished; the last, unfinished one had {summary.unfinished_return:.6g}.")

    _add(body, "h2", "What happened")
    if summary.faults:
        _facts(body, [(fault, f"{count} time{'s' * (count > 1)}") for fault, count in summary.faults.items()])
    _facts(body, list(_course(summary.events)))
    if (left_out := len(summary.events) - _MOST_EVENTS) > 0:
        _add(body, "p", f"{left_out} more events between these are in summary.json.", **{"class": "note"})
    if summary.events_dropped:
        _add(body, "p", f"{summary.events_dropped} more faults were only counted.", **{"class": "note"})

    _add(body, "h2", "Policy")
    _facts(body, _policy(contract, policy_sha256))
    return "<!DOCTYPE html>\n" + ET.tostring(html, encoding="unicode", method="html") + "\n"


def _counts(summary: Summary) -> list[tuple[str, str]]:
    return [
        *summary.about.items(),
        ("ticks", f"{summary.ticks:,} in {summary.slots:,} slots, {summary.held_slots:,} held"),
        ("overruns", f"{summary.overruns:,}; {summary.skipped_slots:,} slots passed without a turn"),
        ("miss rate", f"{summary.miss_rate:.4%}"),
        ("budget", f"{1e6 / summary.rate_hz:,.0f} us per slot"),
        ("not in the records", f"{summary.unrecorded_ticks:,} ticks"),
    ]


def _course(events: Sequence[Event]) -> Iterator[tuple[str, str]]:
    """The first and the last events, each with its time since the robot was armed."""
    armed_ns = next((event.at_ns for event in events if event.what == Moment.ARMED.value), None)
    half = _MOST_EVENTS // 2
    for event in events if len(events) <= _MOST_EVENTS else (*events[:half], *events[-half:]):
        when = f"{(event.at_ns - armed_ns) / NS_PER_S:+.3f} s" if armed_ns is not None else "not armed"
        lasting = f", {event.times} times in {(event.until_ns - event.at_ns) / NS_PER_S:.3f} s"
        yield when, event.what + lasting * (event.times > 1)


def _policy(contract: PolicyContract, policy_sha256: str) -> list[tuple[str, str]]:
    task, provenance = contract.task, contract.provenance
    return [
        ("name", contract.name),
        ("identity", policy_sha256),
        ("weights", provenance.weights_sha256),
        ("data", provenance.data_sha256),
        *((name, digest) for name, digest in contract.files.items()),
        ("model", f"{contract.model.kind}, {contract.precision}, dmh-edge {provenance.code_version}"),
        ("task", f"{task.name} at {task.rate_hz:g} Hz, episodes of {task.horizon} steps"),
        ("action", f"{task.action.kind}, delay {task.action_delay}, held at most {task.max_hold_s:g} s"),
        ("observation", f"{len(task.observation)} elements, at most {task.max_observation_age_s:g} s old"),
        ("reward", f"{task.reward.meaning}, {task.reward.low:g} to {task.reward.high:g}"),
    ]


def _histogram(durations: Mapping[SlotKind, Durations], budget_us: float) -> ET.Element:
    """Histogram of the ticks' total durations; both axes are logarithmic, to show the rare slow ticks."""
    bars = {
        kind: [(low / 1000, high / 1000, count) for low, high, count in durations[kind].total.bars(_BARS_PER_DECADE)]
        for kind in ("actor", "boundary")
    }
    every = [bar for some in bars.values() for bar in some]
    low = min([bar[0] for bar in every], default=1.0)
    high = max([bar[1] for bar in every] + [1.3 * budget_us])
    most = max([bar[2] for bar in every], default=1)
    chart = Chart(Axis(low, high, log=True), Axis(0.8, 1.3 * most, log=True), "us", "ticks")
    for kind, some in bars.items():
        chart.bars(some, kind)
    chart.limit(budget_us, "budget", vertical=True)
    return chart.element


def _timing(body: ET.Element, summary: Summary) -> None:
    table = _add(body, "table")
    row = _add(table, "tr")
    for heading in ("us", "p50", "p99", "p99.9", "max"):
        _add(row, "th", heading, **({"class": "number"} if heading != "us" else {}))
    for kind, name in _KINDS.items():
        timing = getattr(summary, kind)
        for quantity in ("lateness", "compute", "total") if timing.count else ():
            spread = getattr(timing, quantity)
            row = _add(table, "tr")
            _add(row, "td", f"{name}, {quantity} ({timing.count:,})")
            for value in (spread.p50_us, spread.p99_us, spread.p999_us, spread.max_us):
                _add(row, "td", f"{value:,.0f}", **{"class": "number"})


def _over_time(line: Quantity, width_s: float, budget_us: float) -> ET.Element:
    most = max([value for value in line.high if value is not None] + [1.15 * budget_us])
    x = Axis(0, len(line.high) * width_s)
    chart = Chart(x, Axis(0, most), "seconds", f"longest {line.name}, us", height=180)
    bars = [(k * width_s, (k + 1) * width_s, most) for k, most in enumerate(line.high) if most is not None]
    chart.bars(bars, "actor")
    chart.limit(budget_us, "budget")
    return chart.element


def _action(line: Quantity, width_s: float, contract: PolicyContract, index: int) -> ET.Element:
    action = contract.task.action
    if isinstance(action, ContinuousAction):
        element = action.elements[index]
        low, high, unit = element.low, element.high, "" if element.unit == "1" else f", {element.unit}"
    else:
        low, high, unit = 0.0, float(action.size - 1), ""
    margin = 0.1 * (high - low)
    x = Axis(0, len(line.high) * width_s)
    chart = Chart(x, Axis(low - margin, high + margin), "seconds", f"{line.name}{unit}", height=150)
    chart.band(line, width_s, "data")
    chart.limit(high)
    chart.limit(low)
    return chart.element


def _returns(returns: Sequence[float], target: float) -> ET.Element:
    x = Axis(1, len(returns))
    chart = Chart(x, Axis(min(0.0, *returns, target), max(0.0, *returns, target)), "episode", "return", height=200)
    chart.points([(number + 1, value) for number, value in enumerate(returns)], "data")
    chart.limit(target, "target")
    return chart.element


def _facts(body: ET.Element, rows: Sequence[tuple[str, str]]) -> None:
    table = _add(body, "table")
    for name, value in rows:
        row = _add(table, "tr")
        _add(row, "th", name)
        _add(_add(row, "td"), "code" if len(value) == 64 and " " not in value else "span", value)


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element

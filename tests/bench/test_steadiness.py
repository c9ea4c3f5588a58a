"""The bench of the loop: real runs of a committed policy, beside a cyclictest that the test makes up."""

from __future__ import annotations

import csv
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dmh_edge.bench import cyclictest, load, steadiness
from dmh_edge.errors import BackendError
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.schema import parse

POLICY = Path(__file__).parents[1] / "policies" / "tiny-discrete"
#: As cyclictest 2.4 prints it: 5 wake-ups below 4 us, one of 5,001 us, and one beyond the last bucket.
PRINTED = """# /dev/cpu_dma_latency set to 0us
# Histogram
000000 000000
000002 000003
000003 000002
005001 000001
# Total: 000000006
# Min Latencies: 00002
# Avg Latencies: 00836
# Max Latencies: 12345
# Histogram Overflows: 00001
# Histogram Overflow at cycle number:
# Thread 0: 00004
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cyclictest that writes down how it was called and prints what the real one did once."""
    program, asked = tmp_path / "bin" / "cyclictest", tmp_path / "asked"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho \"$@\" >> {asked}\ncat <<'END'\n{PRINTED}END\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return asked


def test_what_cyclictest_prints_is_read():
    found = cyclictest.read(PRINTED, period_us=5_000, priority=90)
    assert (found.count, found.later_than_a_period, found.priority) == (7, 2, 90)
    assert found.latency.p50_us == pytest.approx(3, rel=0.01)
    assert found.latency.max_us == 12_345


def test_something_else_is_refused():
    with pytest.raises(BackendError, match="no histogram that can be read"):
        cyclictest.read("usage: cyclictest", 1_000, 0)


def test_a_cyclictest_that_fails_is_told(tmp_path, monkeypatch):
    program = tmp_path / "cyclictest"
    program.write_text("#!/bin/sh\necho 'Unable to change scheduling policy' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with (
        pytest.raises(BackendError, match="exit code 1: Unable to change scheduling policy"),
        cyclictest.beside(1_000, 1, None, 0),
    ):
        pass


def test_every_rate_is_measured_idle_and_loaded_beside_cyclictest(made_up):
    case = steadiness.Case("tiny", Policy.load(POLICY), "ort-cpu", 100)
    shown: list[steadiness.Setting] = []
    said: list[str] = []
    found = steadiness.measure([case], 1, "off", 0, steadiness.LOADS, shown.append, said.append)
    others = len(os.sched_getaffinity(0)) > 1
    assert [setting.load.partition(" (")[0] for setting in shown] == ["idle", "other cores busy"][: 1 + others]
    for setting in found.settings:
        assert (setting.rate_hz, setting.stopped_by, setting.realtime) == (100, "duration", ())
        assert setting.slots + setting.skipped_slots == pytest.approx(101, abs=2)
        assert setting.actor.count > 0 < setting.boundary.count
        assert setting.cyclictest is not None
        assert setting.cyclictest.count == 7
        assert "by cyclictest 14.286%" in setting.headline()  # one of seven was later than 10 ms
    asked = made_up.read_text().splitlines()
    assert len(asked) == len(found.settings)
    assert "--interval=10000 --duration=1 --histogram=100000 --threads=1 --policy=other" in asked[0]
    assert "load average" in said[0]


def test_a_loop_of_real_time_priority_stands_below_a_cyclictest_on_its_own_core(made_up):
    """In a process of its own, which cannot leave the test's at real-time priority."""
    code = (
        "import sys, os\nfrom pathlib import Path\nfrom dmh_edge.bench import steadiness\n"
        "from dmh_edge.runtime.sessions.policy import Policy\nfrom dmh_edge.runtime.realtime import chosen_core\n"
        f"case = steadiness.Case('tiny', Policy.load(Path({str(POLICY)!r})), 'ort-cpu', 100)\n"
        "found = steadiness.measure([case], 1, 'try', 0, ['idle'], lambda _: None, lambda _: None)\n"
        "print(chosen_core(), found.settings[0].cyclictest.priority, *found.settings[0].realtime, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    core, priority, *granted = done.stdout.strip().split("|")
    first = any(grant.startswith("SCHED_FIFO") and grant.endswith(": granted") for grant in granted)
    assert (priority == "90") == first
    asked = made_up.read_text()
    assert (f"--priority=90 --policy=fifo --mlockall --affinity={core}" in asked) == first


def test_report_and_table_hold_every_distribution(made_up):
    case = steadiness.Case("tiny", Policy.load(POLICY), "ort-cpu", 200)
    found = steadiness.measure([case], 1, "off", 0, steadiness.LOADS, lambda _: None, lambda _: None)
    assert parse(steadiness.LoopBench, found.model_dump_json(), "loop.json") == found
    lines = list(csv.DictReader(io.StringIO(found.csv())))
    assert len(lines) == 7 * len(found.settings)
    assert {line["what"] for line in lines} == {"lateness", "compute", "total"}
    assert all(float(line["p50_us"]) <= float(line["p99.9_us"]) <= float(line["max_us"]) for line in lines)
    assert found.settings[0].table().row_count == 7


def test_without_cyclictest_it_says_so_and_measures_the_loop(monkeypatch):
    monkeypatch.setattr("dmh_edge.bench.cyclictest.NAME", "cyclictest-that-nobody-has")
    said: list[str] = []
    case = steadiness.Case("tiny", Policy.load(POLICY), "ort-cpu", 100)
    (setting, *_) = steadiness.measure([case], 1, "off", 0, steadiness.LOADS, lambda _: None, said.append).settings
    assert setting.cyclictest is None
    assert setting.table().row_count == 6
    assert any("apt-get install rt-tests" in line for line in said)


def test_the_load_is_on_the_cores_that_it_was_given_and_ends(monkeypatch):
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remember(*arguments, **more):  # type: ignore[no-untyped-def]
        started.append(popen(*arguments, **more))
        return started[-1]

    monkeypatch.setattr("dmh_edge.bench.load.subprocess.Popen", remember)
    core = max(os.sched_getaffinity(0))
    with load.busy({core}) as by:
        assert by in ("stress-ng", "our own busy process")
        assert all(process.poll() is None for process in started)
    assert started
    assert all(process.poll() is not None for process in started)


def test_the_command_measures_a_policy_where_there_is_no_torch(tmp_path, run_without_torch):
    arguments = ("bench", "loop", str(POLICY), "--rate", "100", "--duration", "1", "--realtime", "off")
    done = run_without_torch("from dmh_edge.cli import main; main()", *arguments, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "tiny-discrete on ort-cpu at 100 Hz, idle" in done.stdout
    found = parse(steadiness.LoopBench, (tmp_path / "loop.json").read_text(), "loop.json")
    assert (tmp_path / "loop.csv").read_text() == found.csv()

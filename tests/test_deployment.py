"""The container and the service: checked by the tools that know their languages, and by running what they would run."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer

from dmh_edge import cli
from dmh_edge.runtime.guard.guard_settings import GuardSettings

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile.jetson"
UNIT = ROOT / "systemd" / "dmh-edge.service"
GUIDE = ROOT / "docs" / "deploy.md"


def unit() -> configparser.ConfigParser:
    """The service; options of the same name, of which there are none, would be an error."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_hadolint_finds_nothing_in_the_container():
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    assert hadolint, 'hadolint is missing: pip install ".[dev]"'
    done = subprocess.run([hadolint, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_container_runs_without_root_and_brings_no_torch():
    text = DOCKERFILE.read_text()
    user = re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1]
    assert user not in ("root", "0")
    assert f"--uid {user} " in text
    assert '"/source[ort,records,sim]"' in text
    assert "ARG JETPACK\nFROM ${JETPACK}" in text
    (cache,) = re.findall(r"^VOLUME (\S+)$", text, re.MULTILINE)
    assert f"DMH_EDGE_PLAN_CACHE={cache}\n" in text


def test_the_health_check_tells_a_loop_that_lives_from_one_that_hangs():
    joined = DOCKERFILE.read_text().replace("\\\n", " ")
    command = json.loads(re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", joined, re.MULTILINE)[1])
    code = "import time\nwhile True: time.sleep(0.02)"
    with subprocess.Popen([sys.executable, "-c", code]) as loop:
        try:
            check = [part.replace("/proc/1/", f"/proc/{loop.pid}/") for part in command]
            assert check != command
            assert subprocess.run(check, check=False).returncode == 0
            loop.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, loop.pid, os.WSTOPPED | os.WNOWAIT)
            assert subprocess.run(check, check=False).returncode == 1
        finally:
            loop.kill()


def test_the_service_has_what_real_time_and_supervision_need():
    service = unit()["Service"]
    wanted = {
        "Type": "notify",
        "WatchdogSignal": "SIGKILL",
        "Restart": "on-failure",
        "KillMode": "process",
        "LimitRTPRIO": "81",
        "LimitMEMLOCK": "infinity",
    }
    assert {name: service[name] for name in wanted} == wanted
    assert service["User"] != "root"
    assert int(service["WatchdogSec"]) >= GuardSettings().reset_timeout_s + 2
    assert len(service["CPUAffinity"].split()) > 1


def start(folder: Path) -> list[str]:
    """The arguments of dmh-edge in one start of the service, whose /run is ``folder``."""
    shell, flag, script, program = shlex.split(unit()["Service"]["ExecStart"].replace("$$", "$"))
    assert program == "/opt/dmh-edge/bin/dmh-edge"
    said = folder / "dmh-edge"
    said.write_text('#!/bin/sh\necho "$@"\n')
    said.chmod(0o755)
    script = script.replace("/run/dmh-edge/arm", str(folder / "arm"))
    environment = os.environ | {"DMH_EDGE_OPTIONS": "--engine /srv/policies/mine --robot lab:Arm"}
    done = subprocess.run([shell, flag, script, str(said)], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


def test_a_start_is_disarmed_unless_this_one_start_was_permitted(tmp_path):
    command = ["run", "--engine", "/srv/policies/mine", "--robot", "lab:Arm"]
    assert start(tmp_path) == [*command, "--dry-run"]
    (tmp_path / "arm").touch()
    assert start(tmp_path) == [*command, "--arm"]
    assert start(tmp_path) == [*command, "--dry-run"]  # as after a crash


def test_every_end_of_the_service_takes_back_the_permission():
    assert unit()["Service"]["ExecStopPost"] == "-/bin/rm -f /run/dmh-edge/arm"
    assert unit()["Service"]["ExecStart"].count("/run/dmh-edge/arm") == 1


def test_what_the_service_starts_can_be_parsed():
    command = typer.main.get_command(cli.app)
    options = " ".join(re.search(r'DMH_EDGE_OPTIONS="(.*)"', UNIT.read_text())[1].split())
    run = command.commands["run"]  # type: ignore[attr-defined]
    parsed = run.make_context("run", [*shlex.split(options), "--dry-run"]).params
    assert (parsed["realtime"], parsed["dry_run"]) == ("require", True)


def commands_of(guide: Path) -> list[list[str]]:
    """Every command line of dmh-edge in the guide's blocks."""
    text = guide.read_text().replace("\\\n", " ")
    lines = re.findall(r"^    (?:.*[ /])?dmh-edge ((?:run|bench|export|inspect)\b.*)$", text, re.MULTILINE)
    return [shlex.split(line.partition("  #")[0]) for line in lines]


@pytest.mark.parametrize("words", commands_of(GUIDE), ids=" ".join)
def test_the_guides_commands_are_commands(words):
    command = typer.main.get_command(cli.app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    try:
        command.make_context("dmh-edge", [word for word in words if word != "..."], resilient_parsing=False)
    except click.ClickException as error:
        pytest.fail(error.format_message())


def test_the_guide_has_commands():
    assert len(commands_of(GUIDE)) > 3


if shutil.which("systemd-analyze"):  # it is no Python package; the tests above read the unit on every machine

    def test_systemd_itself_finds_nothing_in_the_unit(tmp_path):
        copy = tmp_path / UNIT.name  # with a program that is there
        copy.write_text(UNIT.read_text().replace("/opt/dmh-edge/bin/dmh-edge\n", "/bin/true\n"))
        done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

"""What all commands have in common: help, refusals by name, and how they end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any
from unittest import mock

import pytest
import typer

from dmh_edge import __version__, cli, names
from dmh_edge.cli.app import Application


def every_command(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by the words that call it, those of groups as well."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(every_command(typer.main.get_command(cli.app)))


def test_the_version_and_the_commands_are_told(well):
    assert well("--version").out == f"dmh-edge {__version__}\n"
    said = well("--help").out
    assert all(command in said for command in ("data", "train", "eval", "export", "inspect", "parity", "run"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_everything_that_was_written_for_it(well, command):
    """Square brackets are not taken for markup, and nothing is cut off."""
    shown = "".join(well(*command.split(), "--help").out.split())
    for parameter in COMMANDS[command].params:
        assert "".join(parameter.help.split()) in shown


def test_square_brackets_in_a_help_text_show(capsys):
    application = Application(rich_markup_mode=None)

    @application.command()
    def bracketed(share: Annotated[float, typer.Option(help="A share [red] of [0, 1].")] = 0.5) -> None: ...

    application(["--help"], standalone_mode=False)
    assert "A share [red] of [0, 1]." in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_by_whole_phrases_and_takes_a_value_that_a_person_understands(well, command):
    for parameter in COMMANDS[command].params:
        assert len(parameter.help.split()) > 2, parameter.name
        assert parameter.help.endswith("."), parameter.name
    types = re.findall(r"<.*?>", well(*command.split(), "--help").out)
    assert not [kind for kind in types if "|" not in kind]  # <str>, <list[str]>, <int range>; <on|off> is well


@pytest.mark.parametrize("command", [name for name, command in COMMANDS.items() if len(command.params) > 8])
def test_the_help_of_a_command_with_many_options_has_sections(well, command):
    sections = {option.rich_help_panel for option in COMMANDS[command].params if option.param_type_name == "option"}
    assert None not in sections
    headings = re.findall(r"^(\w.*):$", well(*command.split(), "--help").out, re.MULTILINE)
    assert {*headings} - {"Arguments"} == {*sections, "Options"}
    assert headings[-1] == "Options"


@pytest.mark.parametrize(
    ("command", "known"),
    [
        ("data", names.TASKS),
        ("train", names.TASKS + names.MODELS),
        ("bench train", names.TASKS + names.MODELS + names.RIVAL_MAMBAS),
        ("study", names.STUDIES),
        *((command, names.BACKENDS) for command in ("eval", "run", "replay", "bench loop")),
    ],
)
def test_help_names_everything_that_a_command_can_be_given(well, monkeypatch, command, known):
    """Also on a narrow terminal no name is broken at a hyphen, so that each can be searched for."""
    monkeypatch.setenv("COLUMNS", "60")
    words = re.split(r"[^\w-]+", well(*command.split(), "--help").out)
    assert not {*known} - {*words}


@pytest.mark.parametrize("command", ["run", "inspect", "parity", "eval", "export"])
def test_an_altered_engine_is_refused_by_every_command(refused, altered, copy, command):
    altered(copy / "model.memory.onnx")
    arguments: dict[str, tuple[Any, ...]] = {
        "run": ("--engine", copy, "--robot", "fake", "--ticks", 5, "--out", copy.parent / "out"),
        "export": (copy, "--trt"),
    }
    assert "model.memory.onnx" in refused(command, *arguments.get(command, (copy,)))


def test_unknown_names_are_refused_with_the_nearest_known_one(refused, data, run, policy, small, tmp_path):
    assert "'darkrom' (did you mean 'darkroom'?)" in refused("data", "darkrom", "--out", tmp_path / "x")
    train = ("train", "darkroom", "--data", data, "--out", tmp_path / "x", "--config", small)
    assert "holds data of task 'darkroom', but 'darkrom' was asked for" in refused("train", "darkrom", *train[2:])
    assert "did you mean 'darkroom'" in refused("train", "darkrom", "--out", tmp_path / "x")
    assert "did you mean 'dm-h'" in refused("train", "darkroom", "--out", tmp_path / "x", "--model", "dmh")
    assert "model.widht: unknown field 'widht' (did you mean 'width'?)" in refused(*train, "--set", "model.widht=4")
    assert "unknown robot 'fakee' (did you mean 'fake'?)" in refused(
        "run", "--engine", policy, "--robot", "fakee", "--ticks", 1, "--out", tmp_path / "x"
    )
    assert "did you mean 'ort-cpu'" in refused("eval", policy, "--backend", "ort-cpuu")
    assert "--backend ort-cpu runs exported policies" in refused("eval", run, "--backend", "ort-cpu")
    assert not (tmp_path / "x").exists()


def test_what_is_missing_is_named(refused, data, policy, tmp_path):
    nowhere = tmp_path / "nowhere"
    assert str(nowhere) in refused("train", "darkroom", "--data", nowhere, "--out", tmp_path / "x")
    assert str(nowhere) in refused("export", nowhere, "--out", tmp_path / "x")
    assert str(nowhere) in refused("parity", policy, "--run", nowhere)
    for command in (("eval",), ("inspect",), ("parity",), ("run", "--robot", "fake", "--engine")):
        assert str(nowhere) in refused(*command, nowhere)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written_is_named(refused, data, small, run, policy, tmp_path):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "x"
    short = ("--histories", 1, "--episodes", 1)
    assert str(out) in refused("data", "darkroom", "--out", out, *short)
    assert str(out) in refused("train", "darkroom", "--data", data, "--out", out, "--config", small)
    assert str(out) in refused("eval", run, "--episodes", 1, "--seeds", 1, "--out", out)
    assert str(out) in refused("run", "--engine", policy, "--robot", "fake", "--ticks", 1, "--out", out)


def test_a_missing_extra_is_one_sentence_with_the_command_that_brings_it(refused, data, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refused("train", "darkroom", "--data", data, "--out", tmp_path / "x")
    assert (
        said == 'error: training needs torch, which is not installed: pip install ".[train]" in the source of dmh-edge'
    )


def test_ctrl_c_leaves_without_a_traceback(dmh_edge, tmp_path, monkeypatch):
    def interrupted(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dmh_edge.data.generate.generate", interrupted)
    done = dmh_edge("data", "darkroom", "--out", tmp_path / "x")
    assert (done.code, "Traceback" in done.err) == (130, False)


def test_a_defect_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("dmh_edge.data.generate.generate", lambda *_: 1 / 0)
    argv = mock.patch.object(sys, "argv", ["dmh-edge", "data", "darkroom", "--out", str(tmp_path / "x")])
    with argv, pytest.raises(ZeroDivisionError):
        cli.main()

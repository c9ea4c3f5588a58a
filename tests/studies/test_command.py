"""`dmh-edge study`, as a user calls it."""

from __future__ import annotations

import pytest

from dmh_edge import cli
from dmh_edge.errors import ConfigError


def study(*arguments: object) -> None:
    cli.app(["study", *map(str, arguments)], standalone_mode=False)


def test_it_prints_the_verdicts_and_writes_a_page_that_names_no_folder(tmp_path, capsys):
    study("ablation-subgoal", "--budget", "smoke", "--work", tmp_path / "w", "--out", tmp_path / "o", "--jobs", 1)
    told = capsys.readouterr()
    assert told.out.startswith("darkroom: with sub-goal ")
    assert "8 of 8: darkroom, without sub-goal, not drawn, seed 1 took " in told.err
    assert "training" not in told.err  # that is in the cells' own messages
    assert sorted(path.suffix for path in (tmp_path / "o").iterdir()) == [".csv", ".md", ".png"]
    text = (tmp_path / "o" / "ablation-subgoal.md").read_text()
    assert "    dmh-edge study ablation-subgoal --budget smoke --jobs 1\n" in text
    assert str(tmp_path) not in text


def test_a_page_that_proves_nothing_takes_no_other_s_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study("ablation-subgoal", "--budget", "smoke", "--work", tmp_path / "w", "--jobs", 1)
    assert (tmp_path / "w" / "smoke" / "ablation-subgoal.md").exists()
    assert not (tmp_path / "docs").exists()


def test_an_unknown_study_is_refused():
    with pytest.raises(ConfigError, match="unknown study 'costs'"):
        study("costs")

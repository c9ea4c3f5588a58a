"""examples/point takes a gymnasium task of one's own the whole way, by the commands of docs/own_task.md."""

from __future__ import annotations


def test_its_files_and_commands_take_a_task_to_a_run_at_its_own_rate(walk_of):
    said = walk_of("point", "own_task.md").go("record.py", "train", "export", "run", "eval")
    assert "point on ort-cpu at 50 Hz" in said
    assert "return per episode" in said

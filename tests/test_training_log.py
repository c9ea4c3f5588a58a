import os

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dmh_edge.errors import ArtifactError
from dmh_edge.training_log import EVENTS_NAME, LOG_NAME, Display, TrainingLog

SPEED = {"updates_per_s": 3.0}


def written(folder, first, last, value, step=0):
    log = TrainingLog(folder, ("loss", "norm"), step)
    for update in range(first, last + 1):
        log.write(update, {"norm": 2.0, "loss": value}, SPEED)
    log.sync()
    log.close()


def test_rows_hold_the_columns_in_order_and_nothing_of_the_clock(tmp_path):
    written(tmp_path, 1, 2, 0.1 + 0.2)
    assert (tmp_path / LOG_NAME).read_text() == (
        "update,loss,norm\n1,0.30000000000000004,2.0\n2,0.30000000000000004,2.0\n"
    )


def test_a_row_can_be_read_as_soon_as_it_is_written(tmp_path):
    log = TrainingLog(tmp_path, ("loss",), 0)
    log.write(1, {"loss": 1.0}, SPEED)
    assert (tmp_path / LOG_NAME).read_text().endswith("\n1,1.0\n")
    assert EventAccumulator(str(tmp_path / EVENTS_NAME)).Reload().Scalars("loss")[0].value == 1.0
    log.close()
    log.close()


def test_going_on_drops_the_rows_behind_the_checkpoint_and_a_half_one(tmp_path):
    written(tmp_path, 1, 6, 1.0)
    path = tmp_path / LOG_NAME
    whole = path.read_text()
    path.write_text(whole + "7,1")
    written(tmp_path, 5, 6, 1.0, step=4)
    assert path.read_text() == whole


def test_the_row_of_the_checkpoint_itself_must_be_whole(tmp_path):
    written(tmp_path, 1, 3, 1.0)
    path = tmp_path / LOG_NAME
    path.write_text(path.read_text()[:-1])
    written(tmp_path, 3, 3, 1.0, step=2)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["update", "1", "2", "3"]


def test_tensorboard_shows_speed_too_and_one_curve_however_often_the_run_was_killed(tmp_path):
    written(tmp_path, 1, 6, 1.0)
    written(tmp_path, 5, 8, 2.0, step=4)
    events = EventAccumulator(str(tmp_path / EVENTS_NAME)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "norm", *SPEED}
    assert [(point.step, point.value) for point in events.Scalars("loss")] == [
        (update, 1.0 if update < 5 else 2.0) for update in range(1, 9)
    ]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"log\.csv cannot be written"):
        TrainingLog(tmp_path / "file", ("loss",), 0)


@pytest.mark.parametrize("full", [LOG_NAME, EVENTS_NAME])
def test_a_log_without_room_says_so_and_both_files_are_closed(tmp_path, full):
    """The kernel itself refuses: the open file is replaced by the device that is always full."""
    log = TrainingLog(tmp_path, ("loss",), 0)
    device = os.open("/dev/full", os.O_RDWR)
    os.dup2(device, (log._csv if full == LOG_NAME else log._events).fileno())
    os.close(device)
    with pytest.raises(ArtifactError, match=f"the disk is full: .*{full}"):
        log.write(1, {"loss": 1.0}, SPEED)
    with pytest.raises(ArtifactError, match="the disk is full"):
        log.close()
    assert log._csv.closed
    assert log._events.closed


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("dmh_edge.training_log.time.monotonic", lambda: now[0])
    display = Display(0, 1_000)
    for done in (10, 20, 30):
        display.show(done, "loss 0.5000", 2.0)
        now[0] += 8
    display.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "update 10 of 1,000: loss 0.5000, 2.00 updates/s, 495 s left",
        "update 30 of 1,000: loss 0.5000, 2.00 updates/s, 485 s left",
    ]


def test_on_a_terminal_progress_is_a_bar_with_loss_speed_and_time_left(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    display = Display(0, 100)
    display.show(40, "loss 0.2500", 2.0)
    display.close()
    shown = capsys.readouterr().err
    assert "━" in shown
    assert "40/100" in shown
    assert "loss 0.2500, 2.00 updates/s" in shown

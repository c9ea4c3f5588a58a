import numpy as np
import pytest

from dmh_edge import plots
from dmh_edge.errors import ArtifactError
from dmh_edge.evaluate import Curve, Evaluation


@pytest.fixture
def evaluation():
    random = np.random.default_rng(0)
    names = ("dm-h", "memory zeroed at each episode", "expert", "random")
    curves = [Curve.of(name, random.standard_normal((2, 3, 5))) for name in names]
    return Evaluation(task="room", policy="p", backend="torch", hidden=[1, 2, 3], seeds=[0, 1], curves=curves)


def test_the_picture_is_a_png_that_shows_every_agent_with_its_interval(evaluation, tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    path = tmp_path / "new" / "curve.png"
    plots.learning_in_context(evaluation, path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    height, width, _ = imread(path).shape
    assert width > height > 400
    assert [file.name for file in path.parent.iterdir()] == ["curve.png"]

    (axes,) = drawn[0].axes
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == [curve.name for curve in evaluation.curves]
    for line, band, curve in zip(axes.lines, axes.collections, evaluation.curves, strict=True):
        assert line.get_xdata().tolist() == [1, 2, 3, 4, 5]
        assert list(line.get_ydata()) == [point.mean for point in curve.per_episode]
        edges = set(band.get_paths()[0].vertices[:, 1])
        assert edges >= {point.low for point in curve.per_episode} | {point.high for point in curve.per_episode}
    assert "room: 3 hidden tasks, 2 seeds" in axes.get_title()


def test_a_single_episode_can_be_drawn(evaluation, tmp_path):
    curves = [Curve.of(curve.name, np.array(curve.returns)[..., :1]) for curve in evaluation.curves]
    plots.learning_in_context(evaluation.model_copy(update={"curves": curves}), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").exists()


def test_a_picture_that_cannot_be_written_is_named(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"curve\.png cannot be written"):
        plots.learning_in_context(evaluation, tmp_path / "file" / "curve.png")


def test_places_on_x_are_marked_and_x_begins_where_the_lines_do(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    line = plots.Line("late", [0, 40], [-4, -5], [-5, -6], [-3, -4])
    plots.draw([plots.Panel("t", "ms", "return", [line], marks=((20, "control period"),))], tmp_path / "marked.png")
    (axes,) = drawn[0].axes
    assert axes.get_xlim() == (0, 40)
    assert axes.lines[1].get_xdata() == [20, 20]
    assert [text.get_text() for text in axes.texts] == ["control period"]


def test_lines_of_the_same_colour_differ_and_many_bands_are_faint(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    few, many = (
        plots.Panel("t", "x", "y", [plots.Line(str(k), [1, 2], [k, k], [k, k], [k, k + 1]) for k in range(count)])
        for count in (6, 14)
    )
    plots.draw([few, many], tmp_path / "many.png")
    left, right = drawn[0].axes
    assert len({(line.get_color(), line.get_linestyle()) for line in right.lines}) == 14
    assert max(band.get_alpha() for band in right.collections) < min(band.get_alpha() for band in left.collections)

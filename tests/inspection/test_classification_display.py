"""What ClassificationDisplay draws, of two classes and of more."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs
from sklearn.gaussian_process.kernels import RBF

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp.inspection import ClassificationDisplay

X, CODES = make_blobs(45, centers=[[-2, 0], [2, 0], [0, 3]], random_state=0)
LABELS = np.array(["ash", "birch", "cedar"])[CODES]
KERNEL = 5.0 * RBF(1.5)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def fitted(y, **params):
    return TorchGPClassifier(KERNEL, optimizer=None, **params).fit(X, y)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def vertices(contours):
    return np.concatenate([path.vertices for path in contours.get_paths()])


def test_two_classes():
    y = np.where(CODES == 2, "yes", "no")
    model = fitted(y, inference="ep")
    shown = ClassificationDisplay.from_estimator(model, X, y, grid_resolution=40)
    rows = [[a, b] for b in shown.grid[1] for a in shown.grid[0]]
    p = model.predict_proba(rows)
    assert_allclose(shown.proba.reshape(-1, 2), p)
    assert shown.colorbar_.ax.get_ylabel() == "probability of yes"
    # On the decision line, and on a contour, probabilities are what they say.
    on_line = model.predict_proba(vertices(shown.decision_line_))[:, 1]
    assert_allclose(on_line, 0.5, atol=0.03)
    seen = [text.get_text() for text in shown.contour_labels_]
    assert set(seen) <= {"0.1", "0.25", "0.75", "0.9"}
    assert len(set(seen)) > 1
    level = shown.contours_.levels[0]
    on_contour = model.predict_proba(shown.contours_.get_paths()[0].vertices)[:, 1]
    assert_allclose(on_contour, level, atol=0.03)
    for label, points in zip(["no", "yes"], shown.points_, strict=True):
        assert_allclose(points.get_offsets(), X[y == label])
    assert legend(shown.ax_) == ["no", "yes"]
    shapes = [points.get_paths()[0].vertices for points in shown.points_]
    assert shapes[0].shape != shapes[1].shape


def test_the_class_of_interest():
    y = CODES == 2
    model = fitted(y)
    shown = ClassificationDisplay.from_estimator(model, X, class_of_interest=False)
    assert shown.colorbar_.ax.get_ylabel() == "probability of False"
    assert shown.points_ == []
    assert shown.ax_.get_legend() is None
    with pytest.raises(ValueError, match="'class_of_interest'.*False, True.*'maybe'"):
        ClassificationDisplay.from_estimator(model, X, class_of_interest="maybe")
    one = ClassificationDisplay.from_estimator(
        fitted(LABELS), X, LABELS, class_of_interest="birch"
    )
    assert one.colorbar_.ax.get_ylabel() == "probability of birch"
    assert len(one.points_) == 3


@pytest.mark.parametrize("multi_class", ["one_vs_rest", "softmax"])
def test_three_classes(multi_class):
    frame = pd.DataFrame(X, columns=["width, cm", "height, cm"])
    model = TorchGPClassifier(KERNEL, optimizer=None, multi_class=multi_class)
    model.fit(frame, LABELS)
    shown = ClassificationDisplay.from_estimator(
        model, frame, LABELS, grid_resolution=40
    )
    assert (shown.ax_.get_xlabel(), shown.ax_.get_ylabel()) == tuple(frame.columns)
    assert legend(shown.ax_) == ["ash", "birch", "cedar"]
    winner = shown.proba.argmax(axis=2)
    for c, surface in enumerate(shown.surface_):
        values = surface.get_array()
        assert_allclose(np.ma.getmaskarray(values), winner != c)
        assert_allclose(values.compressed(), shown.proba[winner == c].max(axis=1))
    assert shown.class_labels_ == []  # the points say whose region it is
    p = vertices(shown.decision_line_)
    p = model.predict_proba(pd.DataFrame(p, columns=frame.columns))
    first, second = np.sort(p, axis=1)[:, :0:-1].T
    assert_allclose(first, second, atol=0.05)
    bare = ClassificationDisplay.from_estimator(model, frame, grid_resolution=40)
    names = {text.get_text(): text.get_position() for text in bare.class_labels_}
    assert set(names) == set(LABELS)
    at = pd.DataFrame(list(names.values()), columns=frame.columns)
    assert list(model.predict(at)) == list(names)


def test_a_class_that_never_wins_has_no_region():
    p = np.zeros((6, 6, 3))
    p[..., 0], p[..., 1], p[..., 2] = 0.5, 0.3, 0.2
    grid = np.arange(6.0), np.arange(6.0)
    shown = ClassificationDisplay(grid=grid, proba=p, classes=np.arange(3)).plot()
    assert [text.get_text() for text in shown.class_labels_] == ["0"]
    assert shown.decision_line_ is None
    assert shown.contours_ is None


def test_more_features_are_refused():
    with pytest.raises(ValueError, match=r"2 features.*\(45, 3\)"):
        ClassificationDisplay.from_estimator(fitted(LABELS), np.c_[X, X[:, 0]])

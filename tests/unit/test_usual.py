"""What is usual in good pictures, learnt in seconds, and its net says the same as the learning did."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training import needs_training

needs_training()

from edge_inspector.errors import ConfigError
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.learning.usual import CELL, Eye, learn, score, write_net
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

SIZE = (62, 90)


def good(folder: Path, count: int = 12, channels: int = 1) -> list[Path]:
    """A part with a bright frame, moved by a pixel or two, with noise."""
    rng, paths = np.random.default_rng(3), []
    for number in range(count):
        picture = np.full((*SIZE, channels), 60, np.int16)
        x, y = rng.integers(0, 3, 2)
        picture[8 + y : 50 + y, 10 + x : 80 + x] = 140
        picture += rng.integers(-3, 4, picture.shape, np.int16)
        paths.append(folder / f"{number:02}.png")
        cv2.imwrite(str(paths[-1]), picture.astype(np.uint8))
    return paths


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_unusual_is_found_and_good_parts_are_not(tmp_path: Path, channels: int) -> None:
    paths, shares = good(tmp_path, channels=channels), list[float]()
    eye = Eye(SIZE, channels)
    usual = learn(eye, paths, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert max(score(usual, eye(path)) for path in paths) < usual.level
    flawed = cv2.imread(str(paths[0]), cv2.IMREAD_UNCHANGED)
    flawed[30:34, 40:60] = 20  # a dark scratch
    cv2.imwrite(str(tmp_path / "flawed.png"), flawed)
    assert score(usual, eye(tmp_path / "flawed.png")) > 2 * usual.level

    folder = tmp_path / "usual-1.0"
    folder.mkdir()
    write_net(usual, eye.shape, folder / FILES["fp32"])
    card = Card("usual", "1.0", "proprietary", "a test")
    Draft(card, ["anomaly"], eye.shape, CELL, limits=[Limit(0.5, 16.0)]).write(folder)
    predict, info = model_predictor(folder, "fp32")
    assert not info.blind
    mask = predict(eye.framed(flawed))
    assert mask.shape == (1, 16, 23)
    assert mask[0, 8, 12] == 255
    assert int((mask >= 128).sum()) < 60
    assert int(predict(eye.framed(cv2.imread(str(paths[1]), cv2.IMREAD_UNCHANGED))).max()) < 128


def test_too_few_pictures_or_another_size_are_refused(tmp_path: Path) -> None:
    paths = good(tmp_path)
    with pytest.raises(ConfigError, match="3 good ones are too few"):
        learn(Eye(SIZE, 1), paths[:3], lambda _: None)
    cv2.imwrite(str(paths[5]), np.zeros((10, 20), np.uint8))
    with pytest.raises(ConfigError, match="20 x 10 pixels and the others 90 x 62"):
        learn(Eye(SIZE, 1), paths, lambda _: None)
    paths[5].write_text("no picture")
    with pytest.raises(ConfigError, match="not an image"):
        learn(Eye(SIZE, 1), paths, lambda _: None)

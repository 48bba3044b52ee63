"""Every pixel format to grey or BGR."""

import cv2
import numpy as np
import pytest

from edge_inspector.cameras.pixels import Demosaic, is_view, picture
from edge_inspector.records import Image

# Red, green / blue, white quarters, wide enough that demosaicing does not reach their middles.
QUARTERS = np.zeros((16, 16, 3), np.uint8)
QUARTERS[:8, :8, 2] = QUARTERS[:8, 8:, 1] = QUARTERS[8:, :8, 0] = QUARTERS[8:, 8:, :] = 200
MIDDLES = [(4, 4), (4, 12), (12, 4), (12, 12)]


def mosaic(pattern: str) -> Image:
    out = np.empty((16, 16), np.uint8)
    for at, colour in enumerate(pattern):
        out[at // 2 :: 2, at % 2 :: 2] = QUARTERS[at // 2 :: 2, at % 2 :: 2, "BGR".index(colour)]
    return out


@pytest.mark.parametrize(
    ("code", "pattern"), [(0x01080008, "GRBG"), (0x01080009, "RGGB"), (0x0108000A, "GBRG"), (0x0108000B, "BGGR")]
)
@pytest.mark.parametrize("demosaic", ["bilinear", "edge_aware", "vng"])
def test_bayer(code: int, pattern: str, demosaic: Demosaic) -> None:
    image = picture(mosaic(pattern).ravel(), code, 16, 16, demosaic)
    assert image is not None
    for row, column in MIDDLES:
        np.testing.assert_array_equal(image[row, column], QUARTERS[row, column])


def test_grey_and_bgr_are_views() -> None:
    memory = np.arange(4 * 6 * 3 + 5, dtype=np.uint8)
    for code, shape in ((0x01080001, (4, 6)), (0x02180015, (4, 6, 3))):
        image = picture(memory, code, 4, 6)
        assert image is not None
        assert is_view(code)
        assert image.shape == shape
        assert np.shares_memory(image, memory)


def test_rgb_and_yuv() -> None:
    rgb = picture(np.ascontiguousarray(QUARTERS[:, :, ::-1]).ravel(), 0x02180014, 16, 16)
    np.testing.assert_array_equal(rgb, QUARTERS)
    grey = np.full((4, 4), 90, np.uint8)
    neutral = np.full((4, 4), 128, np.uint8)
    for code, first, second in ((0x02100032, grey, neutral), (0x0210001F, neutral, grey)):
        image = picture(np.stack([first, second], axis=2).ravel(), code, 4, 4)
        assert image is not None
        np.testing.assert_array_equal(image, cv2.cvtColor(np.full((4, 4), 86, np.uint8), cv2.COLOR_GRAY2BGR))


def test_twelve_bits_keep_their_upper_eight() -> None:
    values = np.array([0, 16, 0x7FF, 0xFFF, 0x123, 0xABC], np.uint16)
    upper = (values >> 4).astype(np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(picture(values.astype("<u2").view(np.uint8), 0x01100005, 2, 3), upper)
    pairs = [[high >> 4, (high & 15) | (low & 15) << 4, low >> 4] for high, low in values.reshape(-1, 2).tolist()]
    np.testing.assert_array_equal(picture(np.array(pairs, np.uint8).ravel(), 0x010C0006, 2, 3), upper)


def test_an_unknown_format() -> None:
    assert picture(np.zeros(64, np.uint8), 0x01080FFF, 8, 8) is None

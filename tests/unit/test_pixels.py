"""Every pixel format to grey or BGR."""

from typing import get_args

import cv2
import numpy as np
import pytest

from edge_inspector.cameras.pixels import Demosaic, PixelFormat, is_view, picture
from edge_inspector.errors import DeviceError
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
    image = picture(mosaic(pattern).ravel(), code, height=16, width=16, demosaic=demosaic)
    assert image is not None
    for row, column in MIDDLES:
        np.testing.assert_array_equal(image[row, column], QUARTERS[row, column])


def test_grey_and_bgr_are_views() -> None:
    memory = np.arange(4 * 6 * 3 + 5, dtype=np.uint8)
    for code, shape in ((0x01080001, (4, 6)), (0x02180015, (4, 6, 3))):
        image = picture(memory, code, height=4, width=6)
        assert image is not None
        assert is_view(code)
        assert image.shape == shape
        assert np.shares_memory(image, memory)


def test_rgb_and_yuv() -> None:
    rgb = picture(np.ascontiguousarray(QUARTERS[:, :, ::-1]).ravel(), 0x02180014, height=16, width=16)
    np.testing.assert_array_equal(rgb, QUARTERS)
    grey = np.full((4, 4), 90, np.uint8)
    neutral = np.full((4, 4), 128, np.uint8)
    for code, first, second in ((0x02100032, grey, neutral), (0x0210001F, neutral, grey)):
        image = picture(np.stack([first, second], axis=2).ravel(), code, height=4, width=4)
        assert image is not None
        np.testing.assert_array_equal(image, cv2.cvtColor(np.full((4, 4), 86, np.uint8), cv2.COLOR_GRAY2BGR))


def test_twelve_bits_keep_their_upper_eight() -> None:
    values = np.array([0, 16, 0x7FF, 0xFFF, 0x123, 0xABC], np.uint16)
    upper = (values >> 4).astype(np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(picture(values.astype("<u2").view(np.uint8), 0x01100005, height=2, width=3), upper)
    pairs = [[high >> 4, (high & 15) | (low & 15) << 4, low >> 4] for high, low in values.reshape(-1, 2).tolist()]
    np.testing.assert_array_equal(picture(np.array(pairs, np.uint8).ravel(), 0x010C0006, height=2, width=3), upper)


def test_an_unknown_format() -> None:
    with pytest.raises(DeviceError, match=r"0x01080fff is not supported. Set pixel_format to one of Mono8, .*BGRa8"):
        picture(np.zeros(64, np.uint8), 0x01080FFF, height=8, width=8)


PFNC = {  # the numbers as the convention lists them
    "Mono10": 0x01100003,
    "Mono10Packed": 0x010C0004,
    "Mono10p": 0x010A0046,
    "Mono12": 0x01100005,
    "Mono12Packed": 0x010C0006,
    "Mono12p": 0x010C0047,
    "Mono16": 0x01100007,
    "BayerGR10": 0x0110000C,
    "BayerRG10": 0x0110000D,
    "BayerGB10": 0x0110000E,
    "BayerBG10": 0x0110000F,
    "BayerGR12": 0x01100010,
    "BayerRG12": 0x01100011,
    "BayerGB12": 0x01100012,
    "BayerBG12": 0x01100013,
    "BayerGR16": 0x0110002E,
    "BayerRG16": 0x0110002F,
    "BayerGB16": 0x01100030,
    "BayerBG16": 0x01100031,
    "BayerBG10p": 0x010A0052,
    "BayerBG12p": 0x010C0053,
    "BayerGB10p": 0x010A0054,
    "BayerGB12p": 0x010C0055,
    "BayerGR10p": 0x010A0056,
    "BayerGR12p": 0x010C0057,
    "BayerRG10p": 0x010A0058,
    "BayerRG12p": 0x010C0059,
}


def stored(values: Image, name: str) -> Image:
    """Eight-bit values as the upper ones of a deeper format; the lower ones are noise."""
    bits = int("".join(each for each in name if each.isdigit()))
    noise = np.random.default_rng(5).integers(0, 1 << bits - 8, values.size)
    deep = (values.ravel().astype(np.int64) << bits - 8) | noise
    if name.endswith("Packed"):
        low = deep & (1 << bits - 8) - 1
        upper = deep >> bits - 8
        return np.stack([upper[0::2], low[0::2] | low[1::2] << 4, upper[1::2]], axis=1).astype(np.uint8).ravel()
    if name.endswith("p"):
        as_bits = (deep[:, None] >> np.arange(bits) & 1).astype(np.uint8)
        return np.packbits(as_bits.ravel(), bitorder="little")
    return deep.astype("<u2").view(np.uint8)


@pytest.mark.parametrize(("name", "code"), PFNC.items())
def test_of_deeper_pixels_the_upper_eight_bits_are_kept(name: str, code: int) -> None:
    assert name in get_args(PixelFormat)
    if name.startswith("Mono"):
        values = np.random.default_rng(1).integers(0, 256, (6, 8), dtype=np.uint8)
        np.testing.assert_array_equal(picture(stored(values, name), code, height=6, width=8), values)
        return
    pattern = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}[name[5:7]]
    image = picture(stored(mosaic(pattern), name), code, height=16, width=16)
    for row, column in MIDDLES:
        np.testing.assert_array_equal(image[row, column], QUARTERS[row, column])


@pytest.mark.parametrize(("code", "conversion"), [(0x02200016, cv2.COLOR_BGR2RGBA), (0x02200017, cv2.COLOR_BGR2BGRA)])
def test_of_four_planes_the_last_is_left_out(code: int, conversion: int) -> None:
    np.testing.assert_array_equal(
        picture(cv2.cvtColor(QUARTERS, conversion).ravel(), code, height=16, width=16), QUARTERS
    )

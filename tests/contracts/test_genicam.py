"""The GenICam driver over the real protocol: against the simulated GigE camera, and against Aravis' own fake."""

import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspector.cameras import aravis, aravis_library
from edge_inspector.cameras.frame_ids import FrameIds, frames_between
from edge_inspector.cameras.genicam import GenicamCamera
from edge_inspector.cameras.genicam_settings import _EXPOSURE, _RATE, steps_of
from edge_inspector.cli import main
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import Frame, Image
from edge_inspector.simulation.line import Line

OFFSET_MM, WIDTH, HEIGHT, PICTURES = 300.0, 64, 48, 8
WHOLE = (0, 0, WIDTH, HEIGHT)
LOSS_KNOWN_S = 0.5
SLACK_S = 0.4  # a busy machine


def settings(address: str | None = None, **changes: Any) -> GenicamCamera.Settings:
    base = {"address": address, "packet_socket": False, "packet_size": 576, "exposure_us": 100.0}
    return GenicamCamera.Settings(**(base | changes))


LINE = {"trigger_source": "Line0", "trigger_activation": "RisingEdge"}
CHUNKS = {"chunk_encoder": "EncoderValue", "chunk_timestamp": "Timestamp", "chunk_frame_id": "FrameID"}


@pytest.fixture
def make() -> Iterator[Callable[..., GenicamCamera]]:
    made: list[GenicamCamera] = []

    def opened(address: str | None, **changes: Any) -> GenicamCamera:
        camera = GenicamCamera("cam", settings(address, **changes))
        made.append(camera)
        camera.open()
        return camera

    yield opened
    for camera in made:
        camera.close()


def take(camera: GenicamCamera, count: int, within_s: float = 5.0) -> tuple[list[Frame], list[FrameIncompleteError]]:
    frames: list[Frame] = []
    damaged: list[FrameIncompleteError] = []
    deadline = time.monotonic() + within_s
    while len(frames) + len(damaged) < count and time.monotonic() < deadline:
        try:
            frame = camera.grab(0.1)
        except FrameIncompleteError as error:
            damaged.append(error)
        else:
            if frame is not None:
                frames.append(frame)
    assert len(frames) + len(damaged) >= count
    return frames, damaged


def seconds_until_lost(camera: GenicamCamera, within_s: float = 3.0) -> tuple[float, str]:
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        try:
            camera.grab(0.2)
        except FrameIncompleteError:
            continue
        except DeviceError as error:
            return time.monotonic() - began, str(error)
    raise AssertionError("the loss was not noticed")


def nearest_part(line: Line, mm: float) -> int:
    guess = round((mm - OFFSET_MM - line.eye_mm(0)) / line.pitch_mm)
    return min((guess - 1, guess, guess + 1), key=lambda part: abs(line.eye_mm(part) + OFFSET_MM - mm))


def test_encoder_chunk_and_stamp_tell_where_the_part_was(gige: Any, make: Any) -> None:
    camera = make(gige.address, **LINE, **CHUNKS)
    frames, _ = take(camera, 60)
    line = gige.line
    late_ns = []
    for frame in frames:
        moved_mm = (frame.encoder_count - line.counter_zero(1)) % 2**32 / line.counts_per_mm
        part = nearest_part(line, moved_mm)
        under_lens_mm = line.eye_mm(part) + OFFSET_MM
        assert moved_mm == pytest.approx(under_lens_mm, abs=0.11)
        late_ns.append(frame.captured_ns - line.belt.time_at(under_lens_mm))
    assert np.median(np.abs(late_ns)) < 500_000
    assert frames[0].exposure_ns == 100_000
    assert -(2**31) <= frames[0].encoder_count < 2**31


@pytest.mark.parametrize("changes", [{}, {"chunk_frame_id": "FrameID"}])
def test_free_running_frames_come_in_order_without_encoder(gige: Any, make: Any, changes: dict[str, Any]) -> None:
    frames, _ = take(make(gige.address, frame_rate=100.0, **changes), 10)
    assert all(after.frame_id > before.frame_id for before, after in pairwise(frames))
    assert all(after.captured_ns - before.captured_ns > 8e6 for before, after in pairwise(frames))
    assert frames[0].encoder_count is None


def picture_of(camera: GenicamCamera) -> Image:
    camera.software_trigger()
    frames, _ = take(camera, 1)
    return frames[0].image


def distance(image: Image, line: Line, wanted: Callable[[Image], Image]) -> float:
    """From the nearest of the pictures that pass under the lens."""
    shown = (wanted(line.look.render(part, 0)).astype(int) for part in range(PICTURES))
    return min(float(np.abs(each - image).mean()) for each in shown)


def grey(picture: Image) -> Image:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def test_mono_is_exact(gige: Any, make: Any) -> None:
    image = picture_of(make(gige.address, trigger_source="Software", roi=WHOLE))
    assert image.shape == (HEIGHT, WIDTH)
    assert distance(image, gige.line, grey) == 0


def test_bayer_comes_as_bgr(gige: Any, make: Any) -> None:
    colour = picture_of(make(gige.address, trigger_source="Software", pixel_format="BayerRG8", roi=WHOLE))
    assert colour.shape == (HEIGHT, WIDTH, 3)
    assert distance(colour[2:-2, 2:-2], gige.line, lambda picture: picture[2:-2, 2:-2]) < 1.5


# What a format may cost: the lower bits of 12, the colour of every second pixel, rounding on the way to YUV and back.
@pytest.mark.parametrize(
    ("pixel_format", "wanted", "at_most"),
    [
        ("Mono12", grey, 0.0),
        ("Mono12Packed", grey, 0.0),
        ("RGB8", np.asarray, 0.0),
        ("BGR8", np.asarray, 0.0),
        ("YUV422_8", np.asarray, 3.0),
        ("YUV422_8_UYVY", np.asarray, 3.0),
    ],
)
def test_every_pixel_format_comes_as_grey_or_bgr(
    gige: Any, make: Any, pixel_format: str, wanted: Any, at_most: float
) -> None:
    image = picture_of(make(gige.address, trigger_source="Software", pixel_format=pixel_format, roi=WHOLE))
    assert distance(image, gige.line, wanted) <= at_most


def test_binning_and_the_user_set_that_undoes_it(gige: Any, make: Any) -> None:
    camera = make(gige.address, trigger_source="Software", binning=2)
    assert picture_of(camera).shape == (HEIGHT // 2, WIDTH // 2)
    camera.close()
    camera = make(gige.address, trigger_source="Software", user_set="Default")
    assert picture_of(camera).shape == (HEIGHT, WIDTH)


def test_a_divider_leaves_triggers_out(gige: Any, make: Any) -> None:
    camera = make(gige.address, **LINE, **CHUNKS, trigger_divider=3)
    frames, _ = take(camera, 4)
    apart_mm = np.diff([frame.encoder_count for frame in frames]) % 2**32 / gige.line.counts_per_mm
    assert all(mm % 300 == pytest.approx(0, abs=9) or mm % 300 == pytest.approx(300, abs=9) for mm in apart_mm)


def test_a_trigger_delay_moves_the_exposure(gige: Any, make: Any) -> None:
    camera = make(gige.address, **LINE, **CHUNKS, trigger_delay_us=4000.0)
    frames, _ = take(camera, 20)
    camera.close()
    make(gige.address, user_set="Default")
    line = gige.line
    late_mm = []
    for frame in frames:
        moved_mm = (frame.encoder_count - line.counter_zero(1)) % 2**32 / line.counts_per_mm
        late_mm.append(moved_mm - OFFSET_MM - line.eye_mm(nearest_part(line, moved_mm - 20.0)))
    assert np.median(late_mm) == pytest.approx(0.004 * line.speed_mm_s, rel=0.1)


def test_a_clock_set_by_ptp_is_mapped_all_the_same(gige: Any, make: Any) -> None:
    camera = make(gige.address, **LINE, **CHUNKS, ptp=True)
    frames, _ = take(camera, 20)
    line = gige.line
    late_ns = []
    for frame in frames:
        moved_mm = (frame.encoder_count - line.counter_zero(1)) % 2**32 / line.counts_per_mm
        late_ns.append(frame.captured_ns - line.belt.time_at(line.eye_mm(nearest_part(line, moved_mm)) + OFFSET_MM))
    assert np.median(np.abs(late_ns)) < 500_000
    camera.close()
    make(gige.address, ptp=False)


def test_a_line_camera_stamps_its_first_row_and_takes_the_others_by_the_encoder(gige: Any, make: Any) -> None:
    rows, counts = 96, 1  # pictures here are 0.2 mm per row, a count is 0.1 mm: each row comes twice
    camera = make(
        gige.address,
        **LINE,
        **CHUNKS,
        line_trigger_source="Encoder0",
        line_trigger_divider=counts,
        roi=(0, 0, WIDTH, rows),
    )
    frames, _ = take(camera, 10)
    line = gige.line
    for frame in frames:
        assert frame.image.shape == (rows, WIDTH)
        moved_mm = (frame.encoder_count - line.counter_zero(1)) % 2**32 / line.counts_per_mm
        assert moved_mm == pytest.approx(line.eye_mm(nearest_part(line, moved_mm)) + OFFSET_MM, abs=0.11)
        assert distance(frame.image[::2], line, grey) == 0
        # Nothing is sent before the belt has passed the last row.
        assert (
            frame.received_ns - frame.captured_ns > 0.9e9 * (rows - 1) * counts / line.counts_per_mm / line.speed_mm_s
        )
    camera.close()
    assert picture_of(make(gige.address, trigger_source="Software", user_set="Default")).shape == (HEIGHT, WIDTH)


def test_roi(gige: Any, make: Any) -> None:
    image = picture_of(make(gige.address, trigger_source="Software", roi=(16, 8, 32, 20)))
    assert image.shape == (20, 32)
    assert distance(image, gige.line, lambda picture: grey(picture)[8:28, 16:48]) == 0


def test_a_frame_keeps_its_memory_while_others_arrive(gige: Any, make: Any) -> None:
    camera = make(gige.address, frame_rate=100.0, buffers=2)
    frames, _ = take(camera, 1)
    first = frames[0]
    kept = first.image.copy()
    others, _ = take(camera, 12)
    assert not any(np.shares_memory(first.image, other.image) for other in others)
    np.testing.assert_array_equal(first.image, kept)
    camera.close()
    np.testing.assert_array_equal(first.image, kept)


def test_a_grey_frame_lies_where_it_was_received(gige: Any, make: Any) -> None:
    camera = make(gige.address, trigger_source="Software")
    received_into = {memory.ctypes.data for memory in aravis._lent.values()}
    assert picture_of(camera).ctypes.data in received_into


@pytest.mark.parametrize("pixel_format", ["Mono8", "BayerRG8"])
def test_memory_that_nobody_holds_is_used_again(gige: Any, make: Any, pixel_format: str) -> None:
    camera = make(gige.address, frame_rate=100.0, buffers=8, pixel_format=pixel_format)
    seen = set()
    held = []
    for _ in range(40):
        frames, _ = take(camera, 1)
        for frame in frames:
            seen.add(frame.image.ctypes.data)
            # A part of the picture holds all of it.
            held = [*held, frame.image[:1]][-3:]
    assert len(seen) <= 8 + 3 + 2  # Aravis', those held, and the two last frames themselves
    addresses = {each.ctypes.data for each in held}
    assert len(addresses) == 3


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"gain": 30.0}, r"Gain = 30 was refused: the camera has 24"),
        ({"exposure_us": 5e6}, r"ExposureTime = 5e\+06 was refused"),
        ({"roi": (0, 0, 999, 20)}, r"Width = 999 was refused"),
        ({"pixel_format": "BayerGB8"}, r"PixelFormat = BayerGB8 was refused"),
        ({"trigger_source": "Line7"}, r"TriggerSource = Line7 was refused"),
        ({"trigger_source": "Line0", "trigger_divider": 2000}, r"TriggerDivider = 2000 was refused"),
        ({"line_trigger_source": "Line7"}, r"TriggerSource = Line7 was refused"),
        ({"binning": 8}, r"BinningHorizontal = 8 was refused"),
        ({"chunk_encoder": "CounterValue"}, r"ChunkSelector = CounterValue was refused"),
        ({"features": {"Reverse": True}}, r"Reverse = True was refused: the camera has no such feature"),
        ({"features": {"BlackLevel": "dark"}}, r"BlackLevel = dark was refused: .*float"),
        ({"user_set": "Mine"}, r"UserSetSelector = Mine was refused"),
    ],
)
def test_what_the_camera_does_not_take_is_refused(gige: Any, make: Any, changes: dict[str, Any], refused: str) -> None:
    with pytest.raises(DeviceError, match=f"^cam: {refused}"):
        make(gige.address, **changes)


def test_what_an_earlier_program_left_in_the_camera_does_not_refuse_the_settings(gige: Any, make: Any) -> None:
    make(gige.address, **LINE, line_trigger_source="Encoder0", exposure_us=50_000.0).close()
    camera = make(gige.address, trigger_source="Software", line_trigger_source="Line0", frame_rate=100.0)
    assert camera._device.read("TriggerSource") == "Software"
    camera.close()
    make(gige.address, user_set="Default")


def test_the_rate_bounds_nothing_while_the_exposure_is_set() -> None:
    steps = [(step.names, step.value) for step in steps_of(settings("127.0.0.2", frame_rate=50.0, exposure_us=100.0))]
    off, on = (steps.index(("AcquisitionFrameRateEnable", value)) for value in (False, True))
    exposure, rate = (steps.index((names, value)) for names, value in ((_EXPOSURE, 100.0), (_RATE, 50.0)))
    assert off < exposure < on < rate


def test_features_are_set_in_their_order(gige: Any, make: Any) -> None:
    features = {"BlackLevel": 7, "AcquisitionFrameRate": 33, "TriggerSoftware": True, "TriggerSelector": "FrameStart"}
    camera = make(gige.address, gain=3.0, black_level=2.0, packet_delay_ns=50_000, features=features)
    assert camera._device.read("BlackLevel") == 7.0
    assert camera._device.read("AcquisitionFrameRate") == 33.0
    assert camera._device.read("Gain") == 3.0


def test_features_are_set_while_it_runs_and_a_refused_one_is_told(gige: Any, make: Any) -> None:
    camera = make(gige.address, exposure_us=200)
    take(camera, 1)
    camera.set_features({"ExposureTime": 350.0})
    frames, _ = take(camera, 4)
    assert frames[-1].exposure_ns == 350_000
    with pytest.raises(DeviceError, match="Exposuretime = 1 was refused: the camera has no such feature"):
        camera.set_features({"Exposuretime": 1})
    camera.close()
    with pytest.raises(DeviceError, match="not open"):
        camera.set_features({"ExposureTime": 200.0})


def test_by_serial_number(gige: Any, make: Any) -> None:
    camera = make(None, serial=gige.serial, frame_rate=50.0)
    take(camera, 2)


def test_an_unknown_serial_number_and_a_silent_address(gige: Any) -> None:
    with pytest.raises(DeviceError, match=f"no camera has the serial number nobody. Found: .*{gige.serial}"):
        GenicamCamera("cam", settings(serial="nobody")).open()
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"cam: no camera answers at 127\.77\.77\.77"):
        GenicamCamera("cam", settings("127.77.77.77")).open()
    assert time.monotonic() - began < 0.3 + SLACK_S


def test_one_camera_has_one_controlling_program_and_one_address(gige: Any, make: Any) -> None:
    make(gige.address)
    with pytest.raises(DeviceError, match=f"another program controls the camera at {gige.address}"):
        make(gige.address)
    twice = subprocess.run(gige.process.args, capture_output=True, text=True, timeout=20, check=False)
    assert twice.returncode == 1
    assert f"cannot have {gige.address}: [Errno 98] Address already in use" in twice.stderr


def test_control_is_free_again_when_its_holder_falls_silent(gige: Any, make: Any) -> None:
    def command(number: int, *words: int) -> bytes:
        asking.send(struct.pack(f">BBHHH{len(words)}I", 0x42, 1, number, 4 * len(words), 7, *words))
        return asking.recv(64)

    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        asking.settimeout(2)
        asking.connect((gige.address, 3956))
        access_denied = struct.pack(">HHHH", 0x8006, 0x83, 0, 7)
        assert command(0x82, 0x938, 400) == access_denied
        assert command(0x82, 0xA00, 2)[:4] == struct.pack(">HH", 0, 0x83)
        assert command(0x82, 0x938, 400, 0x938, 300)[-2:] == struct.pack(">H", 2)
        assert command(0x80, 0xA00, 0x938)[8:] == struct.pack(">II", 2, 300)
        with pytest.raises(DeviceError, match="another program controls"):
            make(gige.address)
        time.sleep(0.5)
        assert command(0x80, 0xA00)[8:] == struct.pack(">I", 0)
        assert command(0x82, 0x938, 400) == access_denied
        assert command(0x82, 0xA00, 2, 0x938, 3000, 0xA00, 0)[:2] == b"\0\0"
        assert command(0x84, 0x1000000, 4)[:2] == struct.pack(">H", 0x8003)
        assert command(0x99)[:2] == struct.pack(">H", 0x8001)


def test_lost_packets_are_sent_again(start_gige: Any, make: Any) -> None:
    camera = make(start_gige("--loss", "0.03").address, **LINE, **CHUNKS)
    frames, damaged = take(camera, 60)
    assert len(damaged) <= 3
    assert camera.counters().packets_resent > 0
    assert camera.counters().temperature_c == 41.5
    assert all(after.frame_id > before.frame_id for before, after in pairwise(frames))


def test_lost_packets_that_stay_lost_make_frames_incomplete(start_gige: Any, make: Any) -> None:
    camera = make(start_gige("--loss", "0.05", "--no-resend").address, **LINE)
    frames, damaged = take(camera, 60)
    assert frames
    assert damaged
    ids = [frame.frame_id for frame in frames]
    assert sorted(ids + [error.frame_id for error in damaged]) == sorted({*ids, *(e.frame_id for e in damaged)})
    # Frames of which not even the first packet arrived are known by the gap alone.
    assert frames[-1].frame_id <= 60 + camera.counters().frames_missed + 2
    assert camera.counters().packets_missing > 0
    assert "missing" in str(damaged[0]) or "timed out" in str(damaged[0])


@pytest.mark.parametrize("changes", [{}, CHUNKS | {"pixel_format": "Mono12Packed"}])
def test_a_frame_that_ends_early_is_incomplete(start_gige: Any, make: Any, changes: dict[str, Any]) -> None:
    short = start_gige("--short-every", "4")
    frames, damaged = take(make(short.address, **LINE, buffers=2, roi=WHOLE, **changes), 20)
    assert len(damaged) >= 4
    assert {str(error) for error in damaged} == {"wrong size"}
    assert all(distance(frame.image, short.line, grey) == 0 for frame in frames)


def test_numbers_of_16_bits_wrap_without_a_gap(start_gige: Any, make: Any) -> None:
    camera = make(start_gige("--first-frame-id", "65530", "--delay-ms", "4").address, **LINE)
    frames, damaged = take(camera, 20)
    assert all(frame.received_ns - frame.captured_ns > 4_000_000 for frame in frames)
    assert camera.counters().frames_missed == 0
    assert frames[-1].frame_id - frames[0].frame_id == 19 or damaged


def test_the_clock_is_followed_while_no_frame_comes(gige: Any, make: Any) -> None:
    camera = make(gige.address, trigger_source="Software")
    before_ns = camera._clock._newest_ns
    deadline = time.monotonic() + 20  # a round trip that takes too long does not count
    while camera._clock._newest_ns < before_ns + 2_000_000_000 and time.monotonic() < deadline:
        assert camera.grab(0.2) is None
    assert time.monotonic() < deadline


def test_a_camera_that_hangs_while_no_frame_comes_is_not_asked_for_its_clock(start_gige: Any, make: Any) -> None:
    victim = start_gige()
    camera = make(victim.address, trigger_source="Software")
    camera._latched_ns = 0
    victim.process.send_signal(signal.SIGSTOP)
    took, why = seconds_until_lost(camera)
    assert "does not answer" in why
    assert took < LOSS_KNOWN_S + SLACK_S


def test_a_stream_without_frames_is_noticed_where_the_rate_is_known(start_gige: Any, make: Any) -> None:
    camera = make(start_gige("--loss", "1.0").address, frame_rate=100.0)
    took, why = seconds_until_lost(camera)
    assert "no frame for" in why
    assert took < LOSS_KNOWN_S + SLACK_S


def test_a_camera_that_restarted_unseen_is_lost(start_gige: Any, make: Any) -> None:
    victim = start_gige()
    camera = make(victim.address, trigger_source="Software")
    assert camera.grab(0.01) is None
    victim.kill()
    victim.start()
    _, why = seconds_until_lost(camera)
    assert "was restarted, or taken by another program" in why


def files_and_threads() -> list[int]:
    return [len(list(Path(f"/proc/self/{what}").iterdir())) for what in ("fd", "task")]


def test_closing_frees_threads_and_files(gige: Any) -> None:
    camera = GenicamCamera("cam", settings(gige.address, **LINE, **CHUNKS))
    camera.open()
    take(camera, 2)
    camera.close()
    held = files_and_threads()
    for _ in range(5):
        camera.open()
        camera.close()
        with pytest.raises(DeviceError, match="refused"):
            GenicamCamera("cam", settings(gige.address, gain=30.0)).open()
    assert files_and_threads() == held
    assert not aravis._lent


def test_without_a_probe_as_on_usb_a_camera_that_is_gone_is_noticed_by_asking_it(start_gige: Any, make: Any) -> None:
    victim = start_gige()
    camera = make(victim.address, trigger_source="Software")
    camera._probe.close()
    camera._probe = None
    assert camera.grab(0.6) is None
    victim.kill()
    # Over a network the question itself takes 2.5 s; on a bus it fails at once.
    took, _ = seconds_until_lost(camera, within_s=6)
    assert took < 4 + SLACK_S
    victim.start()


def packet_sockets() -> int:
    """How many sockets of this process receive past the UDP stack."""
    mine = {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
    listed = [line.split()[-1] for line in Path("/proc/net/packet").read_text().splitlines()[1:]]
    return sum(f"socket:[{inode}]" in mine for inode in listed)


def may_open_packet_sockets() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError:
        return False
    return True


def test_privileges_change_nothing_unless_they_are_asked_for(gige: Any, make: Any) -> None:
    camera = make(gige.address, **LINE)
    take(camera, 3)
    assert packet_sockets() == 0
    camera.close()
    take(make(gige.address, **LINE, packet_socket=True), 3)
    assert packet_sockets() == may_open_packet_sockets()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, gige: Any) -> None:
    aravis_library._functions.cache_clear()
    monkeypatch.setattr(aravis_library, "LIBRARY", "libaravis-not-there.so.0")
    with pytest.raises(DeviceError, match=r"is missing: apt install libaravis-0\.8-0"):
        GenicamCamera("cam", settings(gige.address)).open()
    aravis_library._functions.cache_clear()


@pytest.mark.parametrize("names", [{}, {"address": "127.0.0.2", "serial": "1"}])
def test_address_or_serial(names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="set either address or serial"):
        GenicamCamera.Settings(**names)


@pytest.mark.parametrize(
    ("before", "after", "missed"),
    [
        (None, 9, 0),
        (1, 2, 0),
        (1, 5, 3),
        (65535, 1, 0),
        (65534, 2, 2),
        (70000, 70002, 1),
        (5, 0, 0),
        (5, 5, 0),
        (9, 1, 0),
    ],
)
def test_frames_between(before: int | None, after: int, missed: int) -> None:
    assert frames_between(before, after) == missed


def test_a_frame_that_lost_its_number_is_not_missed_besides() -> None:
    ids = FrameIds()
    assert [ids.next(number) for number in (7, 0, 9, 0, 0, 13, 14)] == [1, 2, 3, 4, 5, 7, 8]
    assert ids.missed == 1


def test_arv_tool_discovers_and_reads_the_simulated_camera(gige: Any) -> None:
    tool = shutil.which("arv-tool-0.8")
    if tool is None:
        pytest.skip("aravis-tools-cli is not installed")
    found = subprocess.run([tool], capture_output=True, text=True, timeout=20, check=True).stdout
    assert f"EdgeInspector-SimulatedGigE-{gige.serial} ({gige.address})" in found
    command = [
        tool,
        "-a",
        gige.address,
        "control",
        "SensorWidth",
        "ExposureTime=250",
        "PixelFormat=BayerRG8",
        "PayloadSize",
    ]
    read = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    assert f"SensorWidth = {WIDTH}" in read
    assert "ExposureTime = 250 min:10 max:1e+06" in read
    assert "PixelFormat = BayerRG8" in read
    assert "PayloadSize = " in read


@pytest.fixture
def aravis_fake() -> Iterator[str]:
    """A camera written by others; it needs an address of an interface, of which there is one on loopback."""
    program = shutil.which("arv-fake-gv-camera-0.8")
    if program is None:
        pytest.skip("aravis-tools is not installed")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind(("127.0.0.1", 3956))
        except OSError:
            pytest.skip("another camera is on 127.0.0.1")
    process = subprocess.Popen([program, "-i", "127.0.0.1", "-s", "FAKE1"])
    yield "127.0.0.1"
    process.kill()
    process.wait(10)


def test_the_same_driver_serves_a_camera_written_by_others(aravis_fake: str) -> None:
    changes = {"exposure_us": 3000.0, "frame_rate": 50.0, "roi": (0, 0, 256, 128), "packet_size": 1400}
    camera = GenicamCamera("cam", settings(aravis_fake, **changes))
    deadline = time.monotonic() + 5
    while True:
        try:
            camera.open()
            break
        except DeviceError:
            assert time.monotonic() < deadline
    with closing(camera):
        frames, damaged = take(camera, 20)
        assert len(frames) > len(damaged)
        assert frames[0].image.shape == (128, 256)
        assert frames[0].exposure_ns == 3_000_000
        assert all(after.frame_id > before.frame_id for before, after in pairwise(frames))
        assert all(frame.captured_ns <= frame.received_ns for frame in frames)
        span_s = (frames[-1].captured_ns - frames[0].captured_ns) / 1e9
        assert span_s == pytest.approx((frames[-1].frame_id - frames[0].frame_id) / 50, rel=0.3)


def test_cameras_command_lists_and_takes_a_picture(
    gige: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cameras", gige.serial, "--snapshot", str(tmp_path / "shots")]) == 0
    listed, row, shot = capsys.readouterr().out.splitlines()
    assert listed.split() == ["driver", "vendor", "model", "serial", "address"]
    assert row.split() == ["genicam", "EdgeInspector", "SimulatedGigE", gige.serial, gige.address]
    assert shot.startswith(f"{tmp_path / 'shots' / gige.serial}.png: ")
    assert cv2.imread(str(tmp_path / "shots" / f"{gige.serial}.png")) is not None
    assert main(["cameras", "nobody"]) == 1


def test_exposure_and_gain_are_changed_while_it_runs_and_at_the_next_open(gige: Any, make: Any) -> None:
    camera = make(gige.address, roi=WHOLE, frame_rate=100.0, gain=0.0)
    before, _ = take(camera, 2)
    camera.adjust(settings(gige.address, roi=WHOLE, frame_rate=100.0, exposure_us=400.0, gain=6.0))
    after, damaged = take(camera, 3)
    assert ([frame.exposure_ns for frame in before + after], damaged) == ([100_000] * 2 + [400_000] * 3, [])
    assert after[0].captured_error_ns >= 150_000, "half the change is in the bound until it has settled"
    assert camera._device.read("Gain") == 6.0
    with pytest.raises(DeviceError, match="cam: Gain = 30 was refused: the camera has 24"):
        camera.adjust(settings(gige.address, roi=WHOLE, frame_rate=100.0, exposure_us=300.0, gain=30.0))
    assert (camera._device.read("ExposureTime"), camera._device.read("Gain")) == (400.0, 6.0)
    camera.open()
    assert (camera._device.read("ExposureTime"), camera._device.read("Gain")) == (400.0, 6.0)

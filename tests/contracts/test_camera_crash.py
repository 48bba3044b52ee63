"""A camera that ends the whole process when it is opened: after three times the others go on without it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

# One life of the daemon's acquiring half: a camera of a folder, and one that kills. It may end with a RESET.
LIFE = """
import json, os, signal, sys, time
from pathlib import Path
from edge_inspector.cameras.folder import FolderCamera
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.recipe import PictureLimits
from edge_inspector.codes import ErrorCode
from edge_inspector.store.album import Album
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.worker import Worker
from edge_inspector.stages.acquire import Acquire
from edge_inspector.stages.notes import Notes
from edge_inspector.store.openings import Openings

class Deadly(FolderCamera):
    def open(self):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)

folder, reset = Path(sys.argv[1]), sys.argv[2] == "reset"
conditions, jobs, openings = Conditions(), Mailbox("jobs", 4096), Openings(folder, ["good", "bad"])
stages = [Notes(openings)]
for name, kind in (("good", FolderCamera), ("bad", Deadly)):
    camera = kind(name, kind.Settings(path=folder, interval_ms=10, repeat=True))
    admission = Admission(lambda _now, _at: 0.0, 10.0, 1, lambda: 1)
    limits = lambda _: PictureLimits(may_repeat=True)
    views, album = Mailbox("judge", 9), Album(9)
    stages.append(
        Acquire(
            camera,
            to_line={name: 1000},
            estimate=lambda _: 0.0,
            admission=admission,
            limits=limits,
            guard=lambda _: None,
            jobs=jobs,
            views=views,
            conditions=conditions,
            album=album,
            openings=openings,
        )
    )
workers = [Worker(stage) for stage in stages]
for worker in workers:
    worker.start()
frames = len(jobs.take(4096, 2.0))
while frames < 20:
    frames += len(jobs.take(4096, 2.0))
held = {code.name: why for code, why in [(each.code, each.why) for each in conditions.reasons()]}
print(json.dumps({"frames": frames, "held": held}), flush=True)
if reset:
    conditions.reset()
    time.sleep(20)
for worker in reversed(workers):
    worker.stop()
    worker.join(5)
"""


def live(folder: Path, *, reset: bool = False) -> tuple[int, str]:
    command = [sys.executable, "-c", LIFE, str(folder), "reset" if reset else ""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def test_a_camera_that_kills_is_left_out_and_the_other_goes_on(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.random.default_rng(1).integers(50, 200, (40, 40, 3), dtype=np.uint8))
    deaths = 0
    while (ended := live(tmp_path))[0] == -signal.SIGSEGV:
        deaths += 1
        assert deaths <= 4
    code, told = ended
    assert code == 0
    assert deaths >= 3
    said = json.loads(told)
    assert said["frames"] >= 20
    assert "RESET" in said["held"]["CAMERA_LEFT_OUT"]
    assert said["held"]["CAMERA_LOST"] == "left out"
    assert live(tmp_path, reset=True)[0] == -signal.SIGSEGV, "RESET tries again"
    assert live(tmp_path)[0] == 0, "and once more is enough"

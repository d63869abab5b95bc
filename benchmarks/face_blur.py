"""How many faces the anonymiser covers, and how much it covers that is no face.

    python benchmarks/face_blur.py --data ../shared/data [--clips results/work/world]

Real stills with one face each (`face_stills.json`: names and boxes, checked by eye) are shown as they are, and pasted
onto faceless rooms at several sizes and rolls. A face counts as covered when at least 80 % of its box is blurred.
False blur is measured on the rooms themselves, on stills of hands, and on egocentric clips without a face. The last
figure is a moving face that a video loses in every third frame. Nothing here measures rendered faces: the synthetic
world has no people. The figures go to results/records/faces.json.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.proportions import Proportion
from vitra_lib.runs.records import write_figures_record
from vitra_lib.video import VideoReader
from vitra_lib.video.anonymise import AnonymiseConfig, cover_faces
from vitra_lib.video.faces import find_faces, link_faces

WIDTH_PX, HEIGHT_PX = 640, 480
SIZES_PX = (300, 160, 80, 56, 40, 28, 20, 14)
ROLLS_DEG = (15, 30, 45, 60, 90, 180)
ROLLED_SIZE_PX = 100
COVERED = 0.8


def share(name: str, hits: int, n: int) -> Figure:
    """hits / n with Wilson's 95 % interval."""
    print(f"{name:58s} {hits:5d} / {n:<5d} = {hits / n:.3f}", flush=True)
    return Proportion(hits, n).figure(name)


def read(path: Path) -> np.ndarray:
    """An RGB image."""
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])


def changed(image: np.ndarray) -> np.ndarray:
    """(height, width) True where the anonymiser changes the image."""
    faces = find_faces(image)
    return (cover_faces(np.zeros_like(image) + _chequers(image), faces) != _chequers(image)).any(axis=2)


def _chequers(image: np.ndarray) -> np.ndarray:
    """A pattern that any blur changes in nearly every pixel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)


def is_covered(blurred: np.ndarray, box: np.ndarray) -> bool:
    """Whether most of a box (x0, y0, x1, y1) that lies in the image is blurred."""
    x0, y0, x1, y1 = np.maximum(np.round(box), 0).astype(int)
    return bool(blurred[y0:y1, x0:x1].mean() >= COVERED)


def pasted(still: np.ndarray, box: np.ndarray, room: np.ndarray, size: float, roll_deg: float, at: np.ndarray):
    """The still, turned and scaled until its face is `size` high, on a room; and the face's box there."""
    height, width = still.shape[:2]
    x, y, w, h = box * (width, height, width, height)
    scale = size / h
    M = cv2.getRotationMatrix2D((x + w / 2, y + h / 2), roll_deg, scale)
    M[:, 2] += at - (x + w / 2, y + h / 2)
    soft = cv2.GaussianBlur(still, (0, 0), 0.4 / scale) if scale < 1 else still
    image = cv2.warpAffine(soft, M, (WIDTH_PX, HEIGHT_PX))
    mask = cv2.warpAffine(np.full((height, width), 255, np.uint8), M, (WIDTH_PX, HEIGHT_PX))
    half = np.array([w, h]) * scale / 2
    return np.where(mask[..., None] > 128, image, room), np.concatenate([at - half, at + half])


def recall(data: Path, faces: dict[str, list[float] | None], rooms: list[np.ndarray]) -> list[Figure]:
    """Covered faces: stills as they are, by size, by roll."""
    hits = 0
    for name, box in faces.items():
        if box is not None:
            image = read(data / name)
            height, width = image.shape[:2]
            x, y, w, h = np.array(box) * (width, height, width, height)
            hits += is_covered(changed(image), np.array([x, y, x + w, y + h]))
    figures = [share("faces covered, stills as they are", hits, len(faces))]
    known = {name: np.array(box) for name, box in faces.items() if box is not None}
    cases = [(size, 0.0) for size in SIZES_PX] + [(ROLLED_SIZE_PX, float(roll)) for roll in ROLLS_DEG]
    for size, roll in cases:
        rng = np.random.default_rng(0)
        hits = 0
        for k, (name, box) in enumerate(known.items()):
            at = rng.uniform(0.35, 0.65, 2) * (WIDTH_PX, HEIGHT_PX)
            image, place = pasted(read(data / name), box, rooms[k % len(rooms)], size, roll, at)
            hits += is_covered(changed(image), place)
        what = f"rolled {roll:g} deg" if roll else "upright"
        figures.append(share(f"faces covered, {size} of {HEIGHT_PX} px, {what}", hits, len(known)))
    return figures


def false_blur(data: Path, clips: Path | None) -> list[Figure]:
    """Frames and pixels without a face that are blurred."""
    figures = []
    stills = sorted((data / "scannet_pairs_gt").glob("*.jpg"))
    stills += [data / name for name in ("unidepth_demo/rgb.png", "hamer_demo_images/test4.jpg")]
    stills.append(data / "vitra_infer_examples/0001.jpg")
    shares = [changed(read(path)).mean() for path in stills]
    figures.append(share("faceless stills with any blur", int(np.count_nonzero(shares)), len(shares)))
    figures.append(Figure("faceless stills, share of pixels blurred", float(np.mean(shares)), "share", len(shares)))
    videos = {"Ego4D clip": [data / "vitra_ego4d_episode/03cc49c3-a7d1-445b-9a2a-545c4fae6843.mp4"]}
    if clips is not None:
        videos["rendered clips"] = sorted(clips.glob("*/video.mp4")) + sorted(clips.glob("*/*.mp4"))
        videos["rendered clips"] = sorted(set(videos["rendered clips"]))
    for name, paths in videos.items():
        blurred = []
        for path in paths:
            with VideoReader(path, max_short_side_px=HEIGHT_PX) as reader:
                step = max(1, len(reader) // 25)
                blurred += [changed(frame.image).mean() for frame in reader.at(range(0, len(reader), step))]
        figures.append(share(f"faceless frames with any blur, {name}", int(np.count_nonzero(blurred)), len(blurred)))
    return figures


def moving(data: Path, faces: dict[str, list[float] | None], rooms: list[np.ndarray]) -> list[Figure]:
    """A face that crosses the picture, smeared in every third frame as by fast motion: found, and covered."""
    config, found_count, covered_count, n = AnonymiseConfig(), 0, 0, 0
    names = [name for name, box in faces.items() if box is not None][::6]
    for k, name in enumerate(names):
        sightings, places, times = [], [], np.arange(24) / 24
        for i, t in enumerate(times):
            at = np.array([150 + 340 * t, 240 + 30 * np.sin(6 * t)])
            image, box = pasted(read(data / name), np.array(faces[name]), rooms[k % len(rooms)], 70, 0.0, at)
            if i % 3 == 1:
                image = cv2.blur(image, (45, 3))
            sightings.append(find_faces(image))
            places.append(box)
        linked = link_faces(sightings, times, config.max_gap_s, config.hold_s)
        pattern = _chequers(image)
        for one, all_, box in zip(sightings, linked, places, strict=True):
            n += 1
            found_count += is_covered((cover_faces(pattern, one) != pattern).any(axis=2), box)
            covered_count += is_covered((cover_faces(pattern, all_) != pattern).any(axis=2), box)
    return [
        share("moving face, covered frame by frame", found_count, n),
        share("moving face, covered with gaps filled", covered_count, n),
    ]


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real recordings")
    parser.add_argument("--clips", type=Path, default=None, help="folder of rendered clips")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    table = Path(__file__).with_name("face_stills.json")
    faces = json.loads(table.read_text("utf-8"))["faces"]
    paths = sorted((args.data / "scannet_pairs_gt").glob("*.jpg"))[:6]
    rooms = [cv2.resize(read(path), (WIDTH_PX, HEIGHT_PX)) for path in paths]
    figures = recall(args.data, faces, rooms) + false_blur(args.data, args.clips) + moving(args.data, faces, rooms)
    start = time.process_time()
    for room in rooms:
        find_faces(room)
    seconds = (time.process_time() - start) / len(rooms)
    figures.append(Figure("processor time per 640 x 480 frame", seconds, "s", len(rooms)))
    print(f"{figures[-1].name}: {seconds:.3f} s")
    parameters = {"sizes_px": list(SIZES_PX), "rolled_size_px": ROLLED_SIZE_PX, "covered_share": COVERED}
    print(write_figures_record("faces", figures, parameters, {"face_stills.json": table}, args.records))


if __name__ == "__main__":
    main()

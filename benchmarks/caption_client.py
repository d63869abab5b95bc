"""The chat client against a local server: what concurrency gains, and that faults lose and double nothing.

    python benchmarks/caption_client.py

The server of the tests speaks the chat-completions protocol in a process of its own and waits 100 ms before each
answer. The same client asks it one question at a time and many at a time, in turns within one run; the gain is the
ratio of captions per second. Then 1,000 different questions with eight pictures each are asked while 5 % of them are
dealt a fault (429, 500, half a body, HTML, wrong schema, 10 MB, a hang-up, prose). Last, the same again from the cache.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from vitra_lib.captioning.answer import Answer, parse_answer
from vitra_lib.captioning.chat_config import ChatConfig
from vitra_lib.captioning.client import ChatClient
from vitra_lib.captioning.question import Question
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.runs.records import write_figures_record

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from chat_server import ChatServer  # noqa: E402 (the server lives with the tests)

WIDTH_PX, HEIGHT_PX, PICTURES = 480, 360, 8
FAULT_SHARE = 0.05


def pictures() -> tuple[bytes, ...]:
    """Eight pictures of the size that the pipeline sends."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (PICTURES, 9, 12, 3), dtype=np.uint8)
    large = [cv2.resize(image, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC) for image in small]
    return tuple(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in large)


def questions(first: int, count: int, jpegs: tuple[bytes, ...]) -> list[Question]:
    """Different questions about the same pictures."""
    sizes = ((WIDTH_PX, HEIGHT_PX),) * len(jpegs)
    return [Question(f"item {i}", "m", "You look.", f"Task {i}", jpegs, sizes) for i in range(first, first + count)]


def ask(url: str, asked: list[Question], concurrency: int, cache: Path | None) -> tuple[float, list, ChatClient]:
    """Ask all; seconds, outcomes and the client."""
    config = ChatConfig(base_url=url, concurrency=concurrency, first_wait_s=0.1, max_wait_s=1.0)
    client = ChatClient(config, cache)
    start = time.perf_counter()
    outcomes = list(client.ask_all(asked, lambda reply, _: parse_answer(reply)))
    seconds = time.perf_counter() - start
    client.close()
    return seconds, outcomes, client


def rates(args: argparse.Namespace, jpegs: tuple[bytes, ...]) -> tuple[list[float], list[float]]:
    """Captions per second, serial and concurrent, measured in turns."""
    serial, parallel = [], []
    with ChatServer(latency_ms=args.latency_ms) as server:
        ask(server.url, questions(0, 4, jpegs), 4, None)  # the import of the package is not what is measured
        for turn in range(args.turns):
            first = 1000 * (turn + 1)
            serial.append(args.serial / ask(server.url, questions(first, args.serial, jpegs), 1, None)[0])
            many = questions(first + 500, 8 * args.serial, jpegs)
            parallel.append(len(many) / ask(server.url, many, args.concurrency, None)[0])
    return serial, parallel


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=1000, help="questions of the run with faults")
    parser.add_argument("--serial", type=int, default=20, help="questions of one serial turn")
    parser.add_argument("--turns", type=int, default=3, help="turns of serial and concurrent")
    parser.add_argument("--concurrency", type=int, default=32, help="requests in flight")
    parser.add_argument("--latency-ms", type=float, default=100.0, help="the server's pause before every answer")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none")
    jpegs = pictures()
    serial, parallel = rates(args, jpegs)
    gains = [many / one for one, many in zip(serial, parallel, strict=True)]
    with (
        tempfile.TemporaryDirectory() as folder,
        ChatServer(latency_ms=args.latency_ms, fault_share=FAULT_SHARE) as server,
    ):
        asked = questions(0, args.questions, jpegs)
        seconds, outcomes, client = ask(server.url, asked, args.concurrency, Path(folder))
        stats = server.stats
        again_s, again, _ = ask(server.url, asked, args.concurrency, Path(folder))
        asked_again = server.stats["requests"] - stats["requests"]
    answered = {outcome.action for _, outcome in outcomes if isinstance(outcome, Answer)}
    lost = args.questions - len(answered)
    doubled = stats["answered_twice"] + len(outcomes) - len({position for position, _ in outcomes})
    figures = [
        Figure("captions per second, one at a time", float(np.median(serial)), "1/s", args.turns),
        Figure(f"captions per second, {args.concurrency} at a time", float(np.median(parallel)), "1/s", args.turns),
        Figure("gain of concurrency", float(np.median(gains)), "ratio", args.turns),
        Figure("gain of concurrency, least of the turns", min(gains), "ratio", args.turns),
        Figure("lost", float(lost), "captions", args.questions),
        Figure("doubled", float(doubled), "captions", args.questions),
        Figure(
            "requests that met a fault", float(stats["requests"] - stats["kinds"]["ok"]), "requests", stats["requests"]
        ),
        Figure("tries again", float(client.counts.retries), "requests", stats["requests"]),
        Figure("seconds with faults", seconds, "s", args.questions),
        Figure("requests of the second run", float(asked_again), "requests", len(again)),
        Figure("seconds of the second run", again_s, "s", len(again)),
    ]
    for figure in figures:
        print(f"{figure.name:45s} {figure.value:9.2f} {figure.unit:9s} n={figure.n}")
    print("faults dealt:", {kind: count for kind, count in stats["kinds"].items() if kind != "ok"})
    parameters = {"latency_ms": args.latency_ms, "concurrency": args.concurrency, "fault_share": FAULT_SHARE}
    parameters |= {"pictures": PICTURES, "width_px": WIDTH_PX, "height_px": HEIGHT_PX}
    print(write_figures_record("caption_client", figures, parameters, {}, args.records))


if __name__ == "__main__":
    main()

"""A server that speaks the chat-completions protocol, in a process of its own, and misbehaves on demand.

    python tests/chat_server.py --latency-ms 100 --fault-share 0.05

It prints its base URL on the first line and serves until its standard input is closed. `GET /stats` tells what it saw.
Faults are dealt by the content of a question, so that they do not depend on the order of requests: a question that
is dealt one gets it on its first requests (`--fault-times`), then its answer. `--script` deals them in order instead.
"""

import argparse
import base64
import hashlib
import json
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FAULTS = ("429", "500", "half", "html", "schema", "huge", "hangup", "prose")
KINDS = (
    "ok",
    *FAULTS,
    "refusal",
    "refusal-text",
    "na",
    "400",
    "401",
    "404",
    "quota",
    "slow",
    "drip",
    "redirect",
    "echo-key",
    "empty",
)


class State:
    """What the server was told and what it saw."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.lock = threading.Lock()
        self.script = [step for step in args.script.split(",") if step]
        self.seen: dict[str, int] = {}
        self.answered: dict[str, int] = {}
        self.kinds: dict[str, int] = {}
        self.last: dict[str, Any] = {}
        self.requests = self.in_flight = self.most_in_flight = 0

    def deal(self, digest: str) -> str:
        """What the next request for a question gets."""
        with self.lock:
            number = self.seen[digest] = self.seen.get(digest, 0) + 1
            self.requests += 1
            if self.script:
                kind = self.script.pop(0)
            else:
                dice = random.Random(f"{self.args.seed} {digest}")
                is_bad = dice.random() < self.args.fault_share and number <= self.args.fault_times
                kind = dice.choice(self.args.faults.split(",")) if is_bad else self.args.default
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            if kind in ("ok", "na"):
                self.answered[digest] = self.answered.get(digest, 0) + 1
        return kind

    def stats(self) -> dict[str, Any]:
        """What was seen so far."""
        with self.lock:
            return {
                "requests": self.requests,
                "questions": len(self.seen),
                "answered": len(self.answered),
                "answered_twice": sum(count > 1 for count in self.answered.values()),
                "kinds": dict(sorted(self.kinds.items())),
                "most_in_flight": self.most_in_flight,
                "last": self.last,
            }


def content_of(request: dict[str, Any]) -> tuple[str, list[bytes]]:
    """Text and pictures of a question."""
    content = request["messages"][-1]["content"]
    if isinstance(content, str):
        return content, []
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return content[0]["text"], [base64.b64decode(url.split(",", 1)[1]) for url in urls]


def blue_pixels(jpeg: bytes) -> int:
    """How many pixels have the pure blue of the dot that marks the palm."""
    import cv2
    import numpy as np

    b, g, r = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int).transpose(2, 0, 1)
    return int(((b > 180) & (g < 90) & (r < 90)).sum())


def reply_to(state: State, request: dict[str, Any], digest: str) -> str:
    """The reply to a question: its own for each, so that a mix-up would show."""
    text, pictures = content_of(request)
    if "Instruction:" in text:
        said = re.search(r"Instruction: (.*)", text)[1]
        verbs = ("Now", "Please", "Carefully", "Slowly")
        wordings = [f"{verb} {said[0].lower()}{said[1:]}" for verb in verbs]
        return json.dumps({"rephrasings": wordings})
    if state.args.answers:  # a captioner that finds the action only where the path is drawn
        told = json.loads(Path(state.args.answers).read_text())
        if all(blue_pixels(jpeg) > 3 for jpeg in pictures):
            key = hashlib.sha256(b"".join(pictures)).hexdigest()
            return json.dumps({"think": "The line shows it.", "action": told.get(key, told["seen"])})
        return json.dumps({"think": "Nothing is drawn.", "action": told["unseen"]})
    return json.dumps({"think": "The hand closes.", "action": f"Pick up the item {digest[:12]}"})


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    state: State

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
        self.send(200, json.dumps(self.state.stats()).encode())

    def do_POST(self) -> None:  # noqa: N802
        state = self.state
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        with state.lock:
            state.in_flight += 1
            state.most_in_flight = max(state.most_in_flight, state.in_flight)
        try:
            digest = hashlib.sha256(raw[raw.find(b'"messages"') :].split(b'"temperature"')[0]).hexdigest()
            kind = state.deal(digest)
            if state.args.latency_ms:
                time.sleep(state.args.latency_ms / 1000)
            request = json.loads(raw)
            state.last = {
                "path": self.path,
                "model": request["model"],
                "pictures": len(content_of(request)[1]),
                "authorization": hashlib.sha256(self.headers.get("Authorization", "").encode()).hexdigest(),
                "api_key": hashlib.sha256(self.headers.get("api-key", "").encode()).hexdigest(),
            }
            self.act(kind, request, digest)
        finally:
            with state.lock:
                state.in_flight -= 1

    def act(self, kind: str, request: dict[str, Any], digest: str) -> None:
        """Answer, or misbehave."""
        good = self.completion(reply_to(self.state, request, digest))
        if kind == "ok":
            self.send(200, good)
        elif kind == "na":
            self.send(200, self.completion('{"think": "It rests.", "action": "N/A"}'))
        elif kind == "429":
            self.send(429, b'{"error": {"message": "slow down"}}', {"Retry-After": self.state.args.retry_after})
        elif kind == "quota":
            self.send(429, b'{"error": {"message": "no money", "code": "insufficient_quota"}}')
        elif kind in ("500", "400", "401", "404"):
            self.send(int(kind), b'{"error": {"message": "no"}}')
        elif kind == "half":
            self.send(200, good[: len(good) // 2])
        elif kind == "html":
            self.send(200, b"<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"})
        elif kind == "schema":
            self.send(200, b'{"choices": {"text": 3}}')
        elif kind == "empty":
            self.send(200, b"")
        elif kind == "prose":
            self.send(200, self.completion("The person picks something up."))
        elif kind == "refusal":
            self.send(200, self.completion(None, "I can't help with that."))
        elif kind == "refusal-text":
            self.send(200, self.completion("I'm sorry, but I can't describe people."))
        elif kind == "huge":
            self.send(200, self.completion("x" * 10_000_000))
        elif kind == "redirect":
            self.send(307, b"", {"Location": "http://127.0.0.1:9/v1/chat/completions"})
        elif kind == "echo-key":
            self.send(500, json.dumps({"error": {"message": f"bad key {self.headers['Authorization']}"}}).encode())
        elif kind == "slow":
            time.sleep(self.state.args.slow_s)
            self.send(200, good)
        elif kind == "drip":
            self.send_response(200)
            self.send_header("Content-Length", str(len(good)))
            self.end_headers()
            for i in range(len(good)):
                self.wfile.write(good[i : i + 1])
                self.wfile.flush()
                time.sleep(0.05)
        elif kind == "hangup":
            self.close_connection = True
            self.connection.close()

    def completion(self, text: str | None, refusal: str | None = None) -> bytes:
        """A body of the protocol."""
        message = {"role": "assistant", "content": text, "refusal": refusal}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        return json.dumps(body).encode()

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        try:
            self.send_response(status)
            for name, value in (
                {"Content-Type": "application/json", "Content-Length": str(len(body))} | (headers or {})
            ).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True  # the client has left

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves early is no news."""


class ChatServer:
    """The server's process, for tests and benchmarks: a context manager.

    Attributes:
        url: base URL.
    """

    def __init__(self, **options: object) -> None:
        words = [w for name, value in options.items() for w in (f"--{name.replace('_', '-')}", str(value))]
        self.process = subprocess.Popen(
            [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip()

    def __enter__(self) -> "ChatServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    @property
    def stats(self) -> dict[str, Any]:
        """What the server saw so far."""
        with urllib.request.urlopen(self.url.replace("/v1", "/stats"), timeout=10) as response:
            return json.loads(response.read())


def main() -> None:
    """Serve until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="pause before every answer")
    parser.add_argument("--fault-share", type=float, default=0.0, help="share of the questions that are dealt a fault")
    parser.add_argument("--fault-times", type=int, default=1, help="requests of such a question that fail")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"kinds of faults, of {', '.join(KINDS)}")
    parser.add_argument("--script", default="", help="what the next requests get, in order")
    parser.add_argument("--default", default="ok", help="what all other requests get")
    parser.add_argument("--retry-after", default="0.05", help="what a 429 asks for")
    parser.add_argument("--slow-s", type=float, default=30.0, help="how slow slow is")
    parser.add_argument("--answers", default="", help="JSON file of answers for a captioner that sees the path")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    Handler.state = State(parser.parse_args())
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

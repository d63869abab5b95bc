"""The policy server under load: nothing lost, nothing wrong, memory flat; what transport costs and batching gains.

    python benchmarks/policy_server.py

All on the loopback device, server and clients in processes of their own. Transport: one client asks the echo policy
about 224 x 224 pictures; what the round trip takes beyond the policy's own time is the overhead. In turns with it, the
same bytes go to the least server that the websocket package allows, which reads nothing and computes nothing. Batching:
eight clients and a policy that costs time per call; with and without, in turns. Load: 100 clients, 1,000 requests each,
a pause of none; one message in a hundred is bad, in the ways of the tests, or too large, or breaks off half-way. Every
answer is compared with what it must be.
"""

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from websockets.asyncio.client import ClientConnection, connect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from serving_makers import ServerProcess, bad_messages, is_right, observation  # noqa: E402 (lives with the tests)

from robot.serving.client import ClientConfig, PolicyClient  # noqa: E402
from robot.serving.protocol import decode, encode  # noqa: E402

SIDE_PX, BAD_EVERY, PROCESSES = 224, 100, 4
LEAST_SERVER = """
import asyncio
from websockets.asyncio.server import serve
async def talk(connection):
    await connection.send(b"\\x80")
    async for message in connection:
        await connection.send(ANSWER)
async def main():
    async with serve(talk, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Future()
ANSWER = b"\\xc4\\x00" + bytes(2500)
asyncio.run(main())
"""


def round_trips(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Seconds of single round trips: whole and without the policy's time, by our client and openpi's; and the least."""
    from websockets.sync.client import connect as connect_plainly

    asked = observation(0, side_px=SIDE_PX)
    message, found = encode(asked), {"ours": [], "least": [], "openpi": []}
    least = subprocess.Popen([sys.executable, "-c", LEAST_SERVER], stdout=subprocess.PIPE, text=True)
    url = f"ws://127.0.0.1:{int(least.stdout.readline())}"
    with (
        ServerProcess() as server,
        PolicyClient(ClientConfig(port=server.port, deadline_s=30.0)) as mine,
        connect_plainly(url, compression=None, max_size=None, proxy=None) as plain,
    ):
        plain.recv()
        theirs = openpi_client(server.port)
        for _ in range(args.turns):
            for number in range(args.block):
                start = time.perf_counter()
                answer = mine.infer(asked)
                seconds = time.perf_counter() - start
                if number >= args.block // 10:
                    found["ours"].append(seconds - 1e-3 * answer.content["server_timing"]["infer_ms"])
            for _ in range(args.block):
                start = time.perf_counter()
                plain.send(message)
                plain.recv()
                found["least"].append(time.perf_counter() - start)
            if theirs is None:
                continue
            time.sleep(1.1)  # a client that has been silent for a second is not waited for
            for number in range(args.block):
                start = time.perf_counter()
                answer = theirs.infer(asked)
                seconds = time.perf_counter() - start
                if number >= args.block // 10:
                    found["openpi"].append(seconds - 1e-3 * answer["server_timing"]["infer_ms"])
            time.sleep(1.1)
    least.kill()
    least.wait()
    least.stdout.close()
    return {name: np.array(seconds) for name, seconds in found.items() if seconds}


def openpi_client(port: int):
    """openpi's own client, where it is installed."""
    try:
        from openpi_client.websocket_client_policy import WebsocketClientPolicy
    except ImportError:
        return None
    return WebsocketClientPolicy("127.0.0.1", port)


def per_second(args: argparse.Namespace, largest: int) -> float:
    """Requests per second of eight clients, with so many sharing a call."""
    batching = {"largest": largest, "window_s": 0.003}
    with ServerProcess(call_s=0.02, each_s=0.001, batching=batching) as server, ThreadPoolExecutor(8) as pool:

        def talk(number: int) -> None:
            with PolicyClient(ClientConfig(port=server.port, deadline_s=30.0)) as client:
                for turn in range(args.batched):
                    asked = observation(number, turn, side_px=64)
                    if not is_right(asked, client.infer(asked).content["actions"]):
                        raise SystemExit("a wrong answer")

        start = time.perf_counter()
        list(pool.map(talk, range(8)))
        return 8 * args.batched / (time.perf_counter() - start)


async def one_client(port: int, number: int, requests: int, counts: dict[str, int]) -> None:
    """One client of the load: its requests, and a bad message in a hundred."""
    bad = list(bad_messages(number).values())
    known = [observation(number, turn, side_px=SIDE_PX) for turn in range(2)]
    connection = await opened(port)
    for turn in range(requests):
        if (number * requests + turn) % BAD_EVERY == number % BAD_EVERY:
            connection = await misbehave(connection, port, bad, number + turn // BAD_EVERY, counts)
        asked = known[turn % 2]
        asked["state"][1] = turn
        counts["asked"] += 1
        try:
            await connection.send(encode(asked | {"seq": turn}))
            answer = await asyncio.wait_for(connection.recv(), 120)
        except (ConnectionClosed, TimeoutError):
            connection = await opened(port)
            continue
        if isinstance(answer, str):
            continue
        content = decode(answer)
        counts["right" if content["seq"] == turn and is_right(asked, content["actions"]) else "wrong"] += 1
    await connection.close()


async def opened(port: int) -> ClientConnection:
    """A connection whose greeting has been read."""
    connection = await connect(
        f"ws://127.0.0.1:{port}", compression=None, max_size=None, proxy=None, open_timeout=60, ping_timeout=None
    )
    await connection.recv()
    return connection


async def misbehave(
    connection: ClientConnection, port: int, bad: Sequence[bytes | str], kind: int, counts: dict[str, int]
) -> ClientConnection:
    """Send something bad; returns a connection that works."""
    counts["bad"] += 1
    kind %= len(bad) + 2
    if kind < len(bad):
        await connection.send(bad[kind])
        answer = await connection.recv()  # before the count is read, for other clients count meanwhile
        counts["refused"] += isinstance(answer, str)
        return connection
    if kind == len(bad):  # half a frame, and gone
        connection.transport.write(b"\x82\xff" + (1 << 20).to_bytes(8, "big") + b"mask" + b"half")
        connection.transport.abort()
        counts["refused"] += 1
    else:  # more than the server takes
        try:
            await connection.send(bytes(9 << 20))
            await connection.recv()
        except ConnectionClosed:
            counts["refused"] += 1
    return await opened(port)


def some_clients(port: int, numbers: range, requests: int, results: multiprocessing.Queue) -> None:
    """The clients of one process."""
    counts = dict.fromkeys(("asked", "right", "wrong", "bad", "refused"), 0)

    async def all_of_them() -> None:
        await asyncio.gather(*(one_client(port, number, requests, counts) for number in numbers))

    asyncio.run(all_of_them())
    results.put(counts)


def load(args: argparse.Namespace) -> tuple[dict[str, int], list[int], float, float]:
    """What the clients counted, memory of the server second by second, seconds, and the server's processor seconds."""
    context, memory, done = multiprocessing.get_context("spawn"), [], threading.Event()
    with ServerProcess() as server:

        def watch() -> None:
            while not done.wait(0.5):
                memory.append(server.pss_bytes)

        results = context.Queue()
        step = -(-args.clients // PROCESSES)
        shares = [range(first, min(first + step, args.clients)) for first in range(0, args.clients, step)]
        crowd = [context.Process(target=some_clients, args=(server.port, s, args.requests, results)) for s in shares]
        watcher = threading.Thread(target=watch)
        start, cpu = time.perf_counter(), server.cpu_s
        for process in crowd:
            process.start()
        watcher.start()
        told = [results.get() for _ in crowd]
        seconds = time.perf_counter() - start
        cpu = server.cpu_s - cpu
        for process in crowd:
            process.join()
        done.set()
        watcher.join()
    return {name: sum(one[name] for one in told) for name in told[0]}, memory, seconds, cpu


def main() -> None:
    """Measure, print, record."""
    from vitra_lib.evaluation.accuracy import Figure  # here, since each process of clients imports this file
    from vitra_lib.runs.records import write_figures_record

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100, help="clients of the load")
    parser.add_argument("--requests", type=int, default=1000, help="requests of each")
    parser.add_argument("--block", type=int, default=300, help="round trips in a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of round trips")
    parser.add_argument("--batched", type=int, default=40, help="requests of each client with a slow policy")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    trips = round_trips(args)
    pairs = [(per_second(args, 8), per_second(args, 1)) for _ in range(2)]
    counts, memory, seconds, cpu = load(args)
    steady = np.array(memory[len(memory) // 5 :], float)
    tenth = max(len(steady) // 10, 1)
    growth = float(np.median(steady[-tenth:]) - np.median(steady[:tenth])) / 2**20
    lost = counts["asked"] - counts["right"] - counts["wrong"]
    quiet = 1e3 * (np.median(trips["ours"]) - np.median(trips["least"]))
    figures = [
        *(
            Figure(f"{what}, {name}", 1e3 * float(value(trips[key])), "ms", len(trips[key]))
            for key, name in (
                ("ours", "round trip less the policy's time, own client"),
                ("openpi", "round trip less the policy's time, openpi's client"),
                ("least", "round trip of the least server"),
            )
            if key in trips
            for what, value in (("median", np.median), ("95th percentile", lambda all_of: np.percentile(all_of, 95)))
        ),
        Figure("median beyond the least server", float(quiet), "ms", len(trips["ours"])),
        Figure("gain of batching, 8 clients", float(np.median([a / b for a, b in pairs])), "ratio", len(pairs)),
        Figure("good requests unanswered", float(lost), "requests", counts["asked"]),
        Figure("wrong answers", float(counts["wrong"]), "requests", counts["asked"]),
        Figure("bad messages not refused", float(counts["bad"] - counts["refused"]), "messages", counts["bad"]),
        Figure("requests per second under load", counts["asked"] / seconds, "1/s", counts["asked"]),
        Figure("server's processor time per request", 1e3 * cpu / counts["asked"], "ms", counts["asked"]),
        Figure("server's memory", float(np.median(steady)) / 2**20, "MiB", len(steady)),
        Figure("growth of the server's memory", growth, "MiB", len(steady)),
    ]
    for figure in figures:
        print(f"{figure.name:66s} {figure.value:10.3f} {figure.unit:9s} n={figure.n}")
    parameters = {"clients": args.clients, "requests": args.requests, "side_px": SIDE_PX, "bad_share": 1 / BAD_EVERY}
    parameters |= {"load_average": os.getloadavg()[0], "processors": os.cpu_count()}
    print(write_figures_record("policy_server", figures, parameters, {}, args.records))


if __name__ == "__main__":
    main()

"""The policy server against real clients, bad ones among them: everything good is answered, and answered rightly."""

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("websockets", reason="the package websockets isn't installed")

from serving_makers import ServerProcess, ServerThread, SlowPolicy, bad_messages, is_right, observation  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402

from robot.serving.batching import BatchingConfig  # noqa: E402
from robot.serving.client import (  # noqa: E402
    ClientConfig,
    PolicyClient,
    RequestRefused,
    ServerUnavailable,
    StaleAnswer,
)
from robot.serving.policies import EchoPolicy  # noqa: E402
from robot.serving.protocol import decode, encode, read_refusal  # noqa: E402
from robot.serving.server import ServerConfig  # noqa: E402
from vitra_lib.core.errors import BadInput  # noqa: E402


def raw(port: int, **options: object) -> ClientConnection:
    """A websocket whose greeting has been read."""
    opened = connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None, proxy=None, **options)
    connection = contextlib.ExitStack().enter_context(opened)
    decode(connection.recv(timeout=10))
    return connection


def client(port: int, **options: object) -> PolicyClient:
    return PolicyClient(ClientConfig(port=port, **{"deadline_s": 10.0, "patience_s": 10.0} | options))


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Status and text of a plain HTTP request."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(condition) -> bool:
    """Whether something becomes true within ten seconds."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_client_gets_metadata_and_right_answers() -> None:
    with ServerThread(EchoPolicy()) as served, client(served.port) as mine:
        assert mine.metadata["action_dim"] == 36 and mine.metadata["protocol"]["sequence"] == "seq"
        for turn in range(5):
            asked = observation(1, turn, side_px=32)
            answer = mine.infer(asked)
            assert is_right(asked, answer.content["actions"]) and answer.seq == turn + 1
            assert not is_right(observation(1, turn + 1, side_px=32), answer.content["actions"])  # the control
        assert set(answer.content["server_timing"]) == {"infer_ms", "prev_total_ms", "queue_ms", "batch_size"}
        answer.content["actions"] += 1  # its arrays are the client's own


def test_openpis_unmodified_client_is_served_and_survives_an_error() -> None:
    openpi = pytest.importorskip("openpi_client.websocket_client_policy", reason="openpi-client isn't installed")
    with ServerThread(EchoPolicy(), api_key="secret") as served:
        theirs = openpi.WebsocketClientPolicy("127.0.0.1", served.port, api_key="secret")
        assert theirs.get_server_metadata()["chunk"] == 16
        asked = observation(2)
        assert is_right(asked, theirs.infer(asked)["actions"])
        with pytest.raises(RuntimeError, match="bad_observation"):
            theirs.infer({"x": 1})
        assert is_right(asked, theirs.infer(asked)["actions"])
        with pytest.raises(InvalidStatus):
            openpi.WebsocketClientPolicy("127.0.0.1", served.port, api_key="wrong")


def test_every_bad_message_is_refused_and_the_next_good_one_answered() -> None:
    with ServerThread(EchoPolicy(), bad_messages=1000) as served:
        connection = raw(served.port)
        for kind, message in bad_messages().items():
            connection.send(message)
            refusal = connection.recv(timeout=10)
            assert isinstance(refusal, str), kind
            assert read_refusal(refusal).code in ("bad_message", "bad_observation"), kind
            assert "Traceback" not in refusal and "File" not in refusal
            asked = observation(3, side_px=16)
            connection.send(encode(asked))
            assert is_right(asked, decode(connection.recv(timeout=10))["actions"]), kind
        counts = served.server.metrics.requests
        assert counts["ok"] == len(bad_messages()) == counts["bad_message"] + counts["bad_observation"]
        connection.close()


def test_who_sends_nothing_but_rubbish_is_cut_off() -> None:
    with ServerThread(EchoPolicy(), bad_messages=5) as served:
        connection = raw(served.port)
        with pytest.raises(ConnectionClosed) as caught:
            for _ in range(6):
                connection.send(b"\xc1")
                connection.recv(timeout=10)
        assert caught.value.rcvd.code == 1008


def test_an_oversized_message_closes_its_connection_alone() -> None:
    with ServerThread(EchoPolicy()) as served, client(served.port) as other:
        connection = raw(served.port)
        with pytest.raises(ConnectionClosed) as caught:
            connection.send(b"\0" * (9 << 20))
            connection.recv(timeout=10)
        assert caught.value.rcvd is None or caught.value.rcvd.code == 1009
        asked = observation(4)
        assert is_right(asked, other.infer(asked).content["actions"])


def test_slow_senders_slow_readers_and_half_open_handshakes_are_cut_off() -> None:
    with ServerThread(EchoPolicy(), message_s=0.4, handshake_s=0.4) as served, client(served.port) as other:
        half_open = socket.create_connection(("127.0.0.1", served.port))
        half_open.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for opening in (b"\x82\xfe\x10\x00" + b"mask" + b"part", b"\x02\x84" + b"mask" + b"part"):
            # A frame of 4,096 bytes that never ends; and a whole first frame of a message that never ends.
            connection = raw(served.port, ping_interval=None)
            connection.socket.sendall(opening)
            with pytest.raises(ConnectionClosed):
                connection.recv(timeout=10)
        assert served.server.metrics.connections["slow_message"] == 2
        half_open.settimeout(10)
        while half_open.recv(4096):
            continue
        patient = raw(served.port)
        time.sleep(1.0)  # a silent client is no slow one
        asked = observation(5, side_px=16)
        patient.send(encode(asked))
        assert is_right(asked, decode(patient.recv(timeout=10))["actions"])
        assert is_right(asked, other.infer(asked).content["actions"])
        patient.close()


def test_a_client_that_keeps_sending_is_no_slow_one() -> None:
    with ServerThread(EchoPolicy(), message_s=0.4) as served:
        connection, asked = raw(served.port, ping_interval=None), observation(5, side_px=16)
        message = encode(asked)
        frame = b"\x82\xfe" + len(message).to_bytes(2, "big") + bytes(4) + message
        stream, half = frame * 12, len(frame) // 2
        for start in range(-half, len(stream), len(frame)):  # every piece ends in the middle of a frame
            connection.socket.sendall(stream[max(start, 0) : start + len(frame)])
            time.sleep(0.1)
        assert all(is_right(asked, decode(connection.recv(timeout=10))["actions"]) for _ in range(12))
        connection.close()


def test_dropped_connections_leave_nothing_behind() -> None:
    with ServerThread(SlowPolicy(0.05), batching=BatchingConfig(1)) as served:
        for part in range(20):
            connection = raw(served.port)
            message = encode(observation(part, side_px=16))
            connection.send(message if part % 2 else message[:50])
            connection.socket.shutdown(socket.SHUT_RDWR)
        assert wait_for(lambda: not served.server._clients and not served.server._batcher.waiting)
        with client(served.port) as mine:
            asked = observation(6, side_px=16)
            assert is_right(asked, mine.infer(asked).content["actions"])


def test_the_key_is_enforced_and_web_pages_are_kept_out() -> None:
    with ServerThread(EchoPolicy(), api_key="secret") as served:
        for headers in ({}, {"Authorization": "Api-Key wrong"}, {"Authorization": "Bearer secret"}):
            with pytest.raises(InvalidStatus) as caught:
                raw(served.port, additional_headers=headers)
            assert caught.value.response.status_code == 401
            assert get(served.port, "/metrics", **headers)[0] == 401
        key = {"Authorization": "Api-Key secret"}
        raw(served.port, additional_headers=key).close()
        assert get(served.port, "/metrics", **key)[0] == 200 and get(served.port, "/healthz") == (200, "OK\n")
        with pytest.raises(InvalidStatus) as caught:  # any web page in a browser could connect, but for its origin
            raw(served.port, additional_headers=key, origin="http://example.org")
        assert caught.value.response.status_code == 403
        with pytest.raises(BadInput, match="key"):
            client(served.port, api_key="wrong").connect()


@pytest.mark.parametrize("options", [{}, {"allows_network": True}, {"api_key": "k"}])
def test_other_machines_are_let_in_only_with_leave_and_a_key(options: dict) -> None:
    with pytest.raises(BadInput, match="other machines"):
        ServerConfig(host="0.0.0.0", **options)
    assert ServerConfig(host="0.0.0.0", allows_network=True, api_key="k").host
    assert "secret" not in repr(ServerConfig(api_key="secret"))


def test_clients_share_calls_and_get_the_same_answers() -> None:
    policy = SlowPolicy(0.03)
    with ServerThread(policy, batching=BatchingConfig(8)) as served, ThreadPoolExecutor(8) as pool:

        def talk(number: int) -> bool:
            with client(served.port) as mine:
                asked = [observation(number, turn, side_px=16) for turn in range(6)]
                return all(is_right(one, mine.infer(one).content["actions"]) for one in asked)

        assert all(pool.map(talk, range(8)))
        assert sum(policy.sizes) == 48 and len(policy.sizes) < 24
    single = SlowPolicy(0.0)
    with ServerThread(single, batching=BatchingConfig(1)) as served, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(talk, range(4))) and len(single.sizes) == 24  # the control: no batching


def test_one_poisonous_request_does_not_spoil_its_neighbours() -> None:
    with ServerThread(SlowPolicy(0.05), batching=BatchingConfig(4, 0.05)) as served, ThreadPoolExecutor(4) as pool:

        def talk(number: int) -> str:
            with client(served.port) as mine:
                asked = observation(number, side_px=16) | ({"seed": 666} if number == 2 else {})
                try:
                    return str(is_right(asked, mine.infer(asked).content["actions"]))
                except RequestRefused as error:
                    return f"{error.refusal.code} {error.refusal.trace} {error}"

        told = list(pool.map(talk, range(4)))
        assert told.count("True") == 3 and told[2].startswith("internal") and "secret" not in told[2]
    with ServerThread(SlowPolicy(0.0), shows_traces=True) as served:
        assert "secret words" in talk(2)


def test_deadlines_and_stale_answers() -> None:
    with ServerThread(SlowPolicy(0.5)) as served:
        connection = raw(served.port)
        connection.send(encode(observation(side_px=16) | {"deadline_s": 0.05, "seq": 41}))
        refusal = read_refusal(connection.recv(timeout=10))
        assert (refusal.code, refusal.seq) == ("expired", 41)
        connection.close()
        with client(served.port, deadline_s=0.1) as mine:
            with pytest.raises(StaleAnswer):
                mine.infer(observation(side_px=16))
            with pytest.raises(StaleAnswer):
                mine.infer(observation(side_px=16), observed_s=time.monotonic() - 1.0)
        with client(served.port) as mine:
            asked = observation(7, side_px=16)
            assert is_right(asked, mine.infer(asked).content["actions"])


def test_too_many_requests_and_clients_are_refused_at_once() -> None:
    options = {"batching": BatchingConfig(1, 0.0, waiting=1), "connections": 2}
    with ServerThread(SlowPolicy(0.5), **options) as served:
        first, second = raw(served.port), raw(served.port)
        first.send(encode(observation(side_px=16)))
        assert wait_for(lambda: served.server._batcher.waiting == 1)
        second.send(encode(observation(side_px=16)))
        assert read_refusal(second.recv(timeout=10)).code == "overloaded"
        with pytest.raises(InvalidStatus) as caught:
            raw(served.port)
        assert caught.value.response.status_code == 503
        assert isinstance(first.recv(timeout=10), bytes)
        first.close(), second.close()


def test_a_flood_of_silent_connections_is_turned_away_at_once() -> None:
    with ServerThread(EchoPolicy(), connections=2) as served:
        mine = raw(served.port)
        flood = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(12)]
        for one in flood[6:]:
            one.settimeout(3)  # less than a handshake may take
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(1) == b""
        asked = observation(side_px=16)
        mine.send(encode(asked))
        assert is_right(asked, decode(mine.recv(timeout=10))["actions"])
        for one in flood:
            one.close()
        mine.close()


def test_stopping_answers_what_is_in_flight_and_refuses_what_is_new() -> None:
    with ServerThread(SlowPolicy(0.6)) as served:
        busy, idle = raw(served.port), raw(served.port)
        asked = observation(8, side_px=16)
        busy.send(encode(asked))
        assert wait_for(lambda: served.server._batcher.waiting == 1)
        served.stop()
        assert wait_for(lambda: get(served.port, "/healthz")[0] == 503)
        idle.send(encode(observation(9, side_px=16)))
        assert read_refusal(idle.recv(timeout=10)).code == "shutting_down"
        with pytest.raises(InvalidStatus):
            raw(served.port)
        assert is_right(asked, decode(busy.recv(timeout=10))["actions"])
        with pytest.raises(ConnectionClosed) as caught:
            busy.recv(timeout=10)
        assert caught.value.rcvd.code == 1001


def test_a_policy_that_hangs_makes_the_server_unhealthy_and_not_mute() -> None:
    with ServerThread(SlowPolicy(1.0), stall_s=0.1) as served:
        connection = raw(served.port)
        connection.send(encode(observation(side_px=16) | {"deadline_s": 0.3}))
        assert wait_for(lambda: get(served.port, "/healthz") == (503, "stalled\n"))
        assert read_refusal(connection.recv(timeout=10)).code == "expired"
        assert wait_for(lambda: get(served.port, "/healthz") == (200, "OK\n"))
        connection.close()


def test_metrics_are_prometheus_text() -> None:
    with ServerThread(EchoPolicy()) as served, client(served.port) as mine:
        for turn in range(3):
            mine.infer(observation(0, turn, side_px=16))
        text = get(served.port, "/metrics")[1]
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert values['vitra_server_requests_total{outcome="ok"}'] == "3"
        assert values['vitra_server_batch_size_bucket{le="1"}'] == values["vitra_server_batch_size_count"] == "3"
        assert values["vitra_server_connected"] == "1" and get(served.port, "/absent")[0] == 404


def test_the_client_waits_for_a_server_and_comes_back_to_it() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ServerUnavailable, match="vitra serve"):
        client(port, patience_s=0.2).connect()
    mine, asked = client(port), observation(10, side_px=16)
    later = threading.Timer(0.3, lambda: opened.append(ServerThread(EchoPolicy(), port=port).__enter__()))
    opened: list[ServerThread] = []
    later.start()
    mine.connect()
    assert is_right(asked, mine.infer(asked).content["actions"])
    opened[0].__exit__()
    with ServerThread(EchoPolicy(), port=port):
        assert is_right(asked, mine.infer(asked).content["actions"]) and mine.reconnections == 1
        mine.close()


def test_a_server_in_a_process_of_its_own_stops_on_a_signal(repository) -> None:
    import signal
    import subprocess
    import sys

    words = [sys.executable, "-m", "vitra_lib", "serve", "--echo", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=repository)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        with client(port) as mine:
            asked = observation(11)
            assert is_right(asked, mine.infer(asked).content["actions"])
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout.close()


def test_many_clients_with_one_bad_message_in_a_hundred() -> None:
    bad = list(bad_messages().values())

    def talk(number: int) -> tuple[int, int]:
        right = refused = 0
        connection = raw(server.port)
        for turn in range(50):
            if (50 * number + turn) % 100 == 99:
                connection.send(bad[(number * 7) % len(bad)])
                refused += isinstance(connection.recv(timeout=30), str)
            asked = observation(number, turn, side_px=32)
            connection.send(encode(asked | {"seq": turn}))
            answer = decode(connection.recv(timeout=30))
            right += answer["seq"] == turn and is_right(asked, answer["actions"])
        connection.close()
        return right, refused

    with ServerProcess() as server, ThreadPoolExecutor(12) as pool:
        told = list(pool.map(talk, range(12)))
    assert np.sum(told, axis=0).tolist() == [600, 6]


def test_the_client_needs_no_torch(repository) -> None:
    import subprocess
    import sys

    code = "import sys, json, robot.serving.client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert not {"torch", "transformers", "scipy", "cv2", "msgpack"} & set(json.loads(done.stdout))

"""The chat client against a real server in another process that misbehaves on demand: nothing lost, nothing twice."""

import json
import logging
import time
from pathlib import Path

import numpy as np
import pytest
from captioning_makers import SEGMENT, black, rigid_hand, short_segments
from chat_server import ChatServer

from vitra_lib.captioning import ChatConfig, Price, caption, make_captioner, make_rephraser, rephrase, unanswered
from vitra_lib.captioning.answer import Answer, parse_answer
from vitra_lib.captioning.answer_cache import AnswerCache, Failure
from vitra_lib.captioning.batch_files import export_batch, import_batch
from vitra_lib.captioning.client import ChatClient
from vitra_lib.captioning.endpoint import EndpointMisconfigured
from vitra_lib.captioning.overlay import overlay_frames
from vitra_lib.captioning.question import Question, caption_question
from vitra_lib.contracts import Caption
from vitra_lib.core.environment import chat_endpoint
from vitra_lib.core.errors import BadInput, MissingAsset, UnknownName

KEY = "sk-secret-key-of-the-test-0123456789"
QUICK = {"concurrency": 8, "max_tries": 3, "first_wait_s": 0.02, "max_wait_s": 0.1, "timeout_s": 5.0}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def questions(count: int, first: int = 0) -> list[Question]:
    """Different questions with small pictures."""
    return [
        Question(f"item {i}", "m", "You look.", f"Task {i}", (b"jpeg" * 50,) * 8, ((320, 240),) * 8)
        for i in range(first, first + count)
    ]


def client(server: ChatServer, cache: Path | None = None, **settings: object) -> ChatClient:
    """A quick client of a server."""
    return ChatClient(ChatConfig(base_url=server.url, **{**QUICK, **settings}), cache)


def ask(who: ChatClient, what: list[Question]) -> dict[int, Answer | Failure]:
    """All outcomes by position; a position that came twice is an error."""
    found: dict[int, Answer | Failure] = {}
    for position, outcome in who.ask_all(what, lambda reply, _: parse_answer(reply)):
        assert position not in found
        found[position] = outcome
    return found


def test_a_thousand_captions_with_faults_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    faults = "429,500,half,html,schema,hangup,prose,empty,huge"
    with ChatServer(fault_share=0.05, faults=faults) as server:
        who = client(server, tmp_path, concurrency=16)
        found = ask(who, questions(1000))
        stats = server.stats
        assert sorted(found) == list(range(1000))
        assert all(isinstance(outcome, Answer) for outcome in found.values())
        assert len({outcome.action for outcome in found.values()}) == 1000  # each has its own answer
        assert stats["answered"] == 1000 and stats["answered_twice"] == 0
        faulty = stats["requests"] - 1000
        assert 25 <= faulty <= 80 and who.counts.retries == faulty and who.counts.requests == stats["requests"]
        assert set(stats["kinds"]) == {"ok", *faults.split(",")}  # every kind of fault took part
        again = client(server, tmp_path, concurrency=16)
        assert ask(again, questions(1000)) == found and again.counts.requests == 0
        assert server.stats["requests"] == stats["requests"]  # asked nothing twice
        ask(client(server, tmp_path / "other"), questions(1))
        assert server.stats["requests"] == stats["requests"] + 1  # control: another cache knows nothing


@pytest.mark.parametrize(
    ("kind", "reason", "requests"),
    [
        ("429", "unanswered", 3),
        ("500", "unanswered", 3),
        ("half", "unanswered", 3),
        ("html", "unanswered", 3),
        ("schema", "unanswered", 3),
        ("huge", "unanswered", 3),
        ("hangup", "unanswered", 3),
        ("slow", "unanswered", 3),
        ("drip", "unanswered", 3),
        ("400", "unanswered", 1),
        ("prose", "bad_answer", 3),
        ("refusal", "refused", 1),
        ("refusal-text", "refused", 1),
    ],
)
def test_a_server_that_is_always_bad_ends_in_bounded_time(
    kind: str, reason: str, requests: int, tmp_path: Path
) -> None:
    with ChatServer(default=kind, slow_s=2) as server:
        who = client(server, tmp_path, timeout_s=0.3 if kind in ("slow", "drip") else 5.0)
        start = time.monotonic()
        found = ask(who, questions(3))
        assert time.monotonic() - start < 20  # patience times tries; without limits it would never end
        assert [found[i].reason for i in range(3)] == [reason] * 3
        assert who.counts.requests == 3 * requests == server.stats["requests"]
        listed = AnswerCache(tmp_path).failures()
        assert len(listed) == (0 if reason == "refused" else 3)


def test_what_failed_is_listed_and_retried_by_the_next_run(tmp_path: Path) -> None:
    with ChatServer(fault_share=0.3, fault_times=3, faults="500,prose,hangup") as server:
        first = client(server, tmp_path)
        found = ask(first, questions(40))
        failed = {i for i, outcome in found.items() if isinstance(outcome, Failure)}
        listed = AnswerCache(tmp_path).failures()
        assert 3 < len(failed) < 30 and {entry.item for entry in listed.values()} == {f"item {i}" for i in failed}
        before = server.stats["requests"]
        second = client(server, tmp_path)
        again = ask(second, questions(40))
        assert all(isinstance(outcome, Answer) for outcome in again.values())
        assert server.stats["requests"] - before == len(failed)  # only what failed was asked
        assert AnswerCache(tmp_path).failures() == {} and server.stats["answered_twice"] == 0


def test_retry_after_is_honoured_by_all(tmp_path: Path) -> None:
    with ChatServer(script="429", retry_after=0.6) as server:
        start = time.monotonic()
        ask(client(server, concurrency=1, max_wait_s=5.0), questions(2))
        assert time.monotonic() - start >= 0.6
    with ChatServer(script="429", retry_after=3600) as server:
        start = time.monotonic()
        assert isinstance(ask(client(server), questions(1))[0], Answer)  # never longer than max_wait_s
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("kind", ["401", "404", "quota", "redirect"])
def test_a_misconfigured_endpoint_stops_the_run_in_one_sentence(kind: str) -> None:
    with ChatServer(script=f"ok,{kind}", default=kind) as server:
        who = client(server, concurrency=1)
        with pytest.raises(EndpointMisconfigured) as caught:
            ask(who, questions(50))
        assert KEY not in str(caught.value) and server.stats["requests"] < 6


def test_a_dead_endpoint_is_given_up(tmp_path: Path) -> None:
    dead = ChatConfig(base_url="http://127.0.0.1:9/v1", **{**QUICK, "give_up_after": 5})
    found = ask(ChatClient(dead, tmp_path), questions(300))
    assert len(found) == 300 and {outcome.reason for outcome in found.values()} == {"unanswered"}
    assert sum(outcome.requests > 0 for outcome in found.values()) < 40
    assert "given up" in found[299].detail and len(AnswerCache(tmp_path).failures()) == 300


def test_caps_are_hard(tmp_path: Path) -> None:
    with ChatServer(fault_share=0.3, faults="500") as server:
        found = ask(client(server, tmp_path, max_requests=20), questions(60))
        assert server.stats["requests"] == 20  # tries count
        left = [outcome for outcome in found.values() if isinstance(outcome, Failure)]
        assert len(left) > 40 and any("limit of 20 requests" in outcome.detail for outcome in left)
    with ChatServer() as server:  # it counts 1000 tokens for each
        who = client(server, max_tokens=20_000, concurrency=1, give_up_after=1000)
        found = ask(who, questions(60))
        reserve = questions(1)[0].tokens + who.config.max_answer_tokens
        assert server.stats["requests"] == (20_000 - reserve) // 1000 + 1 and who.counts.tokens <= 20_000
        assert any("estimated tokens" in o.detail for o in found.values() if isinstance(o, Failure))
        assert ask(client(server, max_requests=0), questions(1))[0].reason == "unanswered"


def test_equal_questions_are_asked_once_and_model_and_pictures_matter(tmp_path: Path) -> None:
    one = questions(1)[0]
    with ChatServer() as server:
        found = ask(client(server, tmp_path), [one] * 30)
        assert len(found) == 30 and len(set(found.values())) == 1 and server.stats["requests"] == 1
        ask(client(server, None), [one, one])
        assert server.stats["requests"] == 2  # without a folder the client itself remembers
    other = [
        Question(one.item, "n", one.system, one.text, one.jpegs, one.sizes_px),
        Question(one.item, one.model, one.system, one.text, (b"other", *one.jpegs[1:]), one.sizes_px),
        Question(one.item, one.model, one.system, one.text + ".", one.jpegs, one.sizes_px),
        Question(one.item, one.model, one.system + ".", one.text, one.jpegs, one.sizes_px),
    ]
    assert len({question.key for question in (one, *other)}) == 5
    assert Question("another name", *[getattr(one, n) for n in ("model", "system", "text", "jpegs")]).key == one.key


def test_a_new_prompt_version_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = questions(1)[0].key
    monkeypatch.setattr("vitra_lib.captioning.question.PROMPT_VERSION", "other")
    assert questions(1)[0].key != before


def test_dry_run_asks_nothing_and_adds_up(tmp_path: Path) -> None:
    with ChatServer() as server:
        who = client(server, tmp_path)
        ask(who, questions(4))
        before = server.stats["requests"]
        estimate = who.estimate(questions(10) + questions(2), Price(2.0, 8.0))
        assert server.stats["requests"] == before and (estimate.questions, estimate.cached) == (12, 6)
        per_question = questions(1)[0].tokens
        assert estimate.tokens_in == 6 * per_question and estimate.tokens_out == 6 * 500
        assert estimate.cost == pytest.approx((6 * per_question * 2.0 + 3000 * 8.0) / 1e6)
        assert who.estimate(questions(1)).cost is None and "give both prices" in who.estimate(questions(1)).sentence()
        # 8 pictures of 85 + 170 tokens, for one tile of 512 px each
        assert 8 * 255 < per_question < 8 * 255 + 30


def test_captions_come_in_order_whatever_the_order_of_answers(tmp_path: Path) -> None:
    reconstruction = rigid_hand([0.2, 0, 0], time=40)
    segments = short_segments(12)
    with ChatServer(fault_share=0.4, faults="500,prose", script="ok,na") as server:
        captioner = make_captioner("openai:m", tmp_path, ChatConfig(base_url=server.url, **QUICK))
        captions, rejections = caption(reconstruction, segments, black, captioner)
        assert [c.segment for c in captions] == segments and not unanswered(rejections)
        assert sum(c.is_na for c in captions) == 1 and [r.reason for r in rejections] == ["caption_na"]
        assert all(c.source == "openai:m" and not c.is_weak for c in captions)
        expected = caption_question("m", segments[5], overlay_frames(reconstruction, segments[5], black)).key
        assert (tmp_path / expected[:2] / f"{expected}.json").exists()
        assert server.stats["last"]["pictures"] == 8
        again, _ = caption(
            reconstruction, segments, black, make_captioner("openai:m", tmp_path, captioner.client.config)
        )
        assert again == captions
        other, _ = caption(reconstruction, segments, black, captioner, has_path=False)
        assert [c.text for c in other] != [c.text for c in captions]  # without the path it is another question


def test_unanswered_segments_are_rejections_that_say_so() -> None:
    with ChatServer(default="500") as server:
        captioner = make_captioner("openai:m", None, ChatConfig(base_url=server.url, **QUICK))
        captions, rejections = caption(rigid_hand([0.2, 0, 0]), [SEGMENT], black, captioner)
    assert not captions and [r.reason for r in unanswered(rejections)] == ["unanswered"]
    assert "HTTP 500" in rejections[0].detail and rejections[0].item == "right hand, frames [0, 24)"


def test_rephrasing_asks_once_per_text_and_checks(tmp_path: Path) -> None:
    texts = ["Pick up the red mug.", "Push the box.", "Pick up the red mug.", ""]
    said = [Caption(SEGMENT, text, not text, "openai:m", False) for text in texts]
    with ChatServer(script="prose") as server:
        rephraser = make_rephraser("openai:m", tmp_path, ChatConfig(base_url=server.url, **QUICK))
        done = rephrase(said, rephraser)
        assert [len(c.rephrasings) for c in done] == [5, 5, 5, 0] and done[0].rephrasings == done[2].rephrasings
        assert all(c.rephrasings[0] == c.text for c in done[:3]) and server.stats["requests"] == 3
        assert rephrase(said, make_rephraser("openai:m", tmp_path, rephraser.client.config)) == done
        assert server.stats["requests"] == 3
    with ChatServer(default="500") as server:
        failed = rephrase(said, make_rephraser("openai:m", None, ChatConfig(base_url=server.url, **QUICK)))
        assert failed[0].rephrasings == (texts[0],)


def test_batch_files_round_trip(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers")
    asked = questions(6)
    cache.put(asked[0].key, "m", '{"action": "Push."}')
    (path,) = export_batch(asked + asked, tmp_path / "batch.jsonl", cache)
    requests = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["custom_id"] for r in requests] == [q.key for q in asked[1:]]
    assert {(r["method"], r["url"], r["body"]["model"]) for r in requests} == {("POST", "/v1/chat/completions", "m")}
    assert sum(part["type"] == "image_url" for part in requests[0]["body"]["messages"][1]["content"]) == 8

    def result(key: str, text: str | None, status: int = 200, refusal: str | None = None) -> str:
        body = {"choices": [{"message": {"content": text, "refusal": refusal}}]}
        return json.dumps({"custom_id": key, "response": {"status_code": status, "body": body}, "error": None})

    keys = [r["custom_id"] for r in requests]
    lines = [
        result(keys[0], '{"think": "", "action": "Open the box."}'),
        result(keys[1], "prose"),
        result(keys[2], None, refusal="No."),
        result(keys[3], "x", status=500),
        json.dumps({"custom_id": keys[4], "response": None, "error": {"code": "batch_expired"}}),
        result(asked[0].key, '{"action": "Pull."}'),
    ]
    back = tmp_path / "output.jsonl"
    back.write_text("\n".join(lines) + "\n")
    counts = import_batch(back, "m", cache, parse_answer)
    assert (counts.answered, counts.refused, counts.failed, counts.known) == (1, 1, 3, 1)
    with ChatServer() as server:
        found = ask(ChatClient(ChatConfig(base_url=server.url, **QUICK), tmp_path / "answers"), asked)
        assert server.stats["requests"] == 3 and found[1].action == "Open the box." and found[3].reason == "refused"
    assert export_batch(asked, tmp_path / "rest.jsonl", cache) == () and not (tmp_path / "rest.jsonl").exists()
    for bad in ("{}", "not json", '{"custom_id": "../../x"}', "[]"):
        back.write_text(bad + "\n")
        with pytest.raises(BadInput, match="Line 1"):
            import_batch(back, "m", cache, parse_answer)
    with pytest.raises(BadInput, match="can't be read"):
        import_batch(tmp_path / "nothing.jsonl", "m", cache, parse_answer)


def test_batch_files_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitra_lib.captioning.batch_files._MAX_LINES", 4)
    files = export_batch(questions(10), tmp_path / "b.jsonl", AnswerCache(None))
    assert [path.name for path in files] == ["b.jsonl", "b-2.jsonl", "b-3.jsonl"]
    assert [len(path.read_text().splitlines()) for path in files] == [4, 4, 2]


def test_a_damaged_answer_is_asked_again(tmp_path: Path) -> None:
    with ChatServer() as server:
        ask(client(server, tmp_path), questions(1))
        file = next(p for p in tmp_path.rglob("*.json"))
        for damage in ("", "{", '{"reply": 3}', '{"reply": "no answer at all"}'):
            file.write_text(damage)
            before = server.stats["requests"]
            assert isinstance(ask(client(server, tmp_path), questions(1))[0], Answer)
            assert server.stats["requests"] == before + 1


def test_the_key_is_nowhere_but_in_the_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    import hashlib

    caplog.set_level(logging.DEBUG)
    with ChatServer(script="echo-key,echo-key,ok,echo-key,echo-key,echo-key") as server:
        who = client(server, tmp_path, concurrency=1)
        found = ask(who, questions(2))
        last = server.stats["last"]
    assert last["authorization"] == hashlib.sha256(f"Bearer {KEY}".encode()).hexdigest()  # it did go out
    assert "[key]" in found[1].detail
    out = "".join(capfd.readouterr())
    texts = [out, caplog.text, repr(who), repr(found), repr(who.config), repr(who.endpoint.address)]
    texts += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) >= 8 and not any(KEY in text for text in texts)


def test_azure_style_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    with ChatServer() as server:
        base = server.url.replace("/v1", "/openai/deployments/mine") + "?api-version=2024-10-21"
        monkeypatch.setenv("OPENAI_BASE_URL", base)
        who = ChatClient(ChatConfig(**QUICK))
        assert isinstance(ask(who, questions(1))[0], Answer) and who.endpoint.address.is_azure
        last = server.stats["last"]
        assert last["path"] == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
        assert last["api_key"] == hashlib.sha256(KEY.encode()).hexdigest()
    assert chat_endpoint("https://x.openai.azure.com/openai/v1/").is_azure
    assert not chat_endpoint("http://127.0.0.1:8000/v1").is_azure


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://127.0.0.1:8000/v1", "http://localhost:11434/v1", "http://[::1]:80/v1", "http://127.8.8.8/"):
        assert chat_endpoint(url).is_local, url
    for url in (
        "https://api.openai.com/v1",
        "http://10.0.0.2/v1",
        "http://127.0.0.1.evil.com/v1",
        "http://localhost.evil.com/",
    ):
        assert not chat_endpoint(url).is_local, url
    assert not chat_endpoint().is_local and chat_endpoint().host == "api.openai.com"
    for url in (
        "foo",
        "ftp://host/v1",
        "http://",
        f"http://user:{KEY}@host/v1",
        f"http://host/v1?key={KEY}",
        "http://h:x/",
    ):
        with pytest.raises(BadInput, match="base URL") as caught:
            chat_endpoint(url)
        assert KEY not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", "a\nb")
    with pytest.raises(BadInput, match="OPENAI_API_KEY"):
        chat_endpoint()


def test_unknown_captioner_missing_endpoint_and_bad_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    for name in ("gpt", "openai:", "local:", "motion-only:x"):
        with pytest.raises(UnknownName, match="motion-only"):
            make_captioner(name)
    with pytest.raises(MissingAsset, match="OPENAI_BASE_URL"):
        make_captioner("openai:some-model")
    with pytest.raises(MissingAsset, match="no model"):
        make_captioner(f"local:{tmp_path}")
    for bad in (
        {"concurrency": 0},
        {"timeout_s": 0.0},
        {"max_requests": -1},
        {"first_wait_s": float("nan")},
        {"anonymise": "no"},
    ):
        with pytest.raises(BadInput):
            ChatConfig(**bad)
    with pytest.raises(BadInput):
        Price(-1.0, 2.0)


def test_faces_are_blurred_before_the_path_is_drawn_unless_the_endpoint_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def blur(images: list[np.ndarray], times_s: list[float]) -> tuple[list[np.ndarray], int]:
        assert all(not image.any() for image in images) and times_s == sorted(times_s)  # nothing is drawn yet
        calls.append(len(images))
        return [image + 40 for image in images], 1

    monkeypatch.setattr("vitra_lib.video.anonymise.anonymise_frames", blur)
    with ChatServer() as server:
        for choice, expected in (("external", []), ("never", []), ("always", [8])):
            captioner = make_captioner("openai:m", None, ChatConfig(base_url=server.url, anonymise=choice, **QUICK))
            calls.clear()
            caption(rigid_hand([0.2, 0, 0]), [SEGMENT], black, captioner)
            assert calls == expected
    for url, choice, blurs in (
        ("https://api.openai.com/v1", "external", True),
        ("http://192.168.1.5/v1", "external", True),
        ("https://api.openai.com/v1", "never", False),
    ):
        assert make_captioner("openai:m", None, ChatConfig(base_url=url, anonymise=choice)).blurs_faces is blurs


def test_nothing_is_sent_when_faces_cannot_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise MissingAsset("No face detector.")

    monkeypatch.setattr("vitra_lib.video.anonymise.anonymise_frames", missing)
    with ChatServer() as server:
        captioner = make_captioner("openai:m", None, ChatConfig(base_url=server.url, anonymise="always", **QUICK))
        with pytest.raises(MissingAsset):
            caption(rigid_hand([0.2, 0, 0]), [SEGMENT], black, captioner)
        assert server.stats["requests"] == 0

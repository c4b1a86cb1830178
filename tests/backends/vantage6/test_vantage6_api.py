"""Tasks, runs and results of a server that plays the faults a real one does not on demand."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from vantage6_fake import CLOSE, RESET, Asked, Fake, Say, Vantage6, broken_off, say, session

from v6flow.backends.vantage6 import encryption, records
from v6flow.backends.vantage6.buffering import STAND_IN, Spill
from v6flow.backends.vantage6.calls import Api
from v6flow.backends.vantage6.dialects import Dialect, TaskDraft, Version
from v6flow.backends.vantage6.encryption import DecryptionError, PrivateKey
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import AmbiguousError, DeniedError, RefusedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

DRAFT = TaskDraft("t0ken", "name", "", "image", 3, {11: "aW4="})
BLOB = "0b5c5a0e-3f0e-4a41-9a0c-6f6d1c1f7f10"


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return encryption.load_private_key(pem, "ours.pem")


def api(fake: Fake, *, key: PrivateKey | None = None, blobs: bool = False) -> Api:
    return Api(session(fake, patience=5.0), Dialect(Version("4.15.2", (4, 15, 2)), blobs=blobs), key=key)


def task(number: int, description: str | None = "t0ken x", **more: Any) -> dict[str, Any]:
    link = {"id": 3, "link": "/api/x/3", "methods": ["GET"]}
    return {"id": number, "name": "n", "description": description, "image": "i", "status": "completed", "job_id": 1,
            "collaboration": link, "init_org": link, "parent": None, "databases": [], **more}  # fmt: skip


def run(number: int, organization: int, status: str | None = "completed", **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "status": status,
        "log": None,
        "organization": {"id": organization},
        "task": {"id": 1},
        **more,
    }


def stored(number: int, text: str | None, **more: Any) -> dict[str, Any]:
    return {"id": number, "result": text, "run": {"id": number}, "task": {"id": 1}, **more}


def one(path: str, answer: Say | Callable[[Asked], Say]) -> Vantage6:
    return Vantage6({path: answer if callable(answer) else lambda _: answer})


@pytest.mark.parametrize(
    "said", [RESET, CLOSE, broken_off(task(1)), say({}, 201), say([], 200), say({"msg": "x"}, 502)]
)
def test_a_task_whose_creation_came_to_no_answer_is_ambiguous_and_asked_for_once(said: Say) -> None:
    with Fake(one("/task", said)) as fake, pytest.raises(AmbiguousError):
        api(fake).create_task(DRAFT)
    assert [asked.path for asked in fake.asked].count("/api/task") == 1


def test_a_task_is_created() -> None:
    with Fake(one("/task", say(task(5), 201))) as fake:
        found = api(fake).create_task(DRAFT)
    assert (found.id, found.collaboration, found.parent, found.description) == (5, 3, None, "t0ken x")
    assert fake.asked[-1].json["organizations"] == [{"id": 11, "input": "aW4="}]


def test_tasks_are_found_by_exactly_their_token() -> None:
    found = [task(9), task(7, "t0ken"), task(8, "xt0ken y"), task(6, "other t0ken"), task(5, "t0kenx"), task(4, None)]
    with Fake(one("/task", say({"data": found, "links": {}}))) as fake:
        assert [each.id for each in api(fake).find_tasks_by_token("t0ken")] == [7, 9]
    assert fake.asked[-1].params["description"] == "%t0ken%"


def test_a_look_up_that_is_refused_is_an_error_and_not_an_empty_answer() -> None:
    with (
        Fake(one("/task", say({"msg": "You lack the permission to do that!"}, 401))) as fake,
        pytest.raises(DeniedError),
    ):
        api(fake).find_tasks_by_token("t0ken")


def test_runs_and_results_are_joined_by_the_id_of_the_run() -> None:
    runs = [run(3, 13), run(1, 11), run(3, 13)]
    results = [stored(3, "Mw=="), stored(1, "MQ=="), stored(3, "Mw==")]
    with Fake(one("/task/1", say(task(1, runs=runs, results=results)))) as fake:
        here = api(fake)
        found = here.task_with_runs(1)
    assert fake.asked[-1].params == {"include": "runs,results"}
    answers = {each.organization: here.decoded(found.results[each.id]) for each in found.runs}
    assert answers == {11: b"1", 13: b"3"}
    assert [each.id for each in found.runs] == [1, 3]


@pytest.mark.parametrize(
    "strange",
    [
        task(1),
        task(1, runs={"link": "/api/run"}, results=[]),
        task(1, runs=[{"id": 1, "status": "completed"}], results=[]),
        task(1, runs=[run(1, 11, task={"id": 2})], results=[]),
        task(1, runs=[run(1, 11)], results=[{"id": 1, "run": {"id": 1}, "result": 5}]),
        task(1, runs=[run(1, 11)], results=[stored(1, "MQ=="), stored(99, "OTk=")]),
        task(1, runs=[{**run(1, 11), "id": "1"}], results=[]),
        {"msg": "hello"},
        [],
        None,
    ],
)
def test_a_task_of_a_strange_shape_is_an_error(strange: Any) -> None:
    with Fake(one("/task/1", say(strange))) as fake, pytest.raises(StrangeError):
        api(fake).task_with_runs(1)


@pytest.mark.parametrize(
    ("status", "phase"),
    [("completed", "completed"), ("pending", "pending"), ("active", "working"), ("initializing", "working"),
     ("crashed", "failed"), ("non-existing Docker image", "failed"), ("killed by user", "failed"), ("failed", "failed"),
     ("dancing", "unheard"), (None, "unheard"), ("", "unheard")],
)  # fmt: skip
def test_a_status_that_nobody_knows_ends_nothing(status: str | None, phase: str) -> None:
    assert records.run(run(1, 11, status)).phase == phase


def test_a_failure_for_a_siblings_sake_is_a_consequence() -> None:
    log = "Marked as failed because sibling run id=3 has failed"
    assert records.run(run(1, 11, "failed", log=log)).is_consequence
    assert not records.run(run(1, 11, "failed", log="boom")).is_consequence


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (say({"msg": "ok"}), "killed"),
        (say({"msg": "Task 1 already finished with status 'crashed', so cannot kill it!"}, 400), "finished"),
        (say({"msg": "Task id=1 not found"}, 404), "gone"),
    ],
)
def test_what_became_of_a_kill(answer: Say, expected: str) -> None:
    with Fake(one("/kill/task", answer)) as fake:
        assert api(fake).kill_task(1) == expected
        assert fake.asked[-1].json == {"id": 1}


def test_a_kill_that_failed_is_no_kill() -> None:
    with Fake(one("/kill/task", say(body=b"<html>", status=404))) as fake, pytest.raises(RefusedError):
        api(fake).kill_task(1)


def result_of(text: str | None, **options: Any) -> bytes | None:
    key, limit = options.pop("key", None), options.pop("limit", 10**6)
    with Fake(one("/result/1", say(stored(1, text, **options)))) as fake:
        return api(fake, key=key).result(1, limit=limit)


def test_results_are_decoded_and_decrypted(key: PrivateKey) -> None:
    assert result_of(encryption.encode(b'{"a": 1}')) == b'{"a": 1}'
    assert result_of(encryption.encrypt(b'{"a": 1}', key.public_text, "us"), key=key) == b'{"a": 1}'
    assert result_of(None) is None
    assert result_of("") == b""
    assert result_of(encryption.encode(b"not JSON")) == b"not JSON"


def test_results_that_cannot_be_read_are_errors(key: PrivateKey) -> None:
    secret = encryption.encrypt(b'{"a": 1}', key.public_text, "us")
    for text, ours in ((secret, None), (encryption.encode(b"{}"), key), ("!!", None), (secret[:-3], key)):
        with pytest.raises(DecryptionError):
            result_of(text, key=ours)


def test_a_pickle_is_not_loaded() -> None:
    with pytest.raises(DecryptionError, match="pickle") as caught:
        result_of(encryption.encode(b"\x80\x04K\x01."))
    assert "JSON" in (caught.value.hint or "")


@pytest.mark.parametrize("encrypted", [False, True])
def test_large_results_go_through_a_file_and_memory_stays_small(key: PrivateKey, encrypted: bool) -> None:
    data = json.dumps(["ä" * 1000] * 10_000).encode()
    text = encryption.encrypt(data, key.public_text, "us") if encrypted else encryption.encode(data)
    said = say(stored(1, text))
    with Fake(Vantage6({"/result/1": lambda _: said})) as fake:
        here = api(fake, key=key if encrypted else None)
        here.session.access_token()
        with open("/dev/null", "wb") as nowhere:  # noqa: PTH123
            tracemalloc.start()
            written = here.result_into(1, nowhere)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert here.result(1) == data
    assert written == len(data) > 20_000_000
    assert peak < 8_000_000


@pytest.mark.parametrize("size", [2_000, 3_000_000])
def test_results_that_are_too_large_are_refused(key: PrivateKey, size: int) -> None:
    data = b'"' + b"x" * size + b'"'
    for text, ours in ((encryption.encode(data), None), (encryption.encrypt(data, key.public_text, "us"), key)):
        assert result_of(text, key=ours, limit=size + 2) == data
        with pytest.raises(TooLargeError):
            result_of(text, key=ours, limit=size + 1)
        with pytest.raises(TooLargeError):
            result_of(text, key=ours, limit=size // 100)


@pytest.mark.parametrize("encrypted", [False, True])
def test_blobs_go_up_and_come_down(key: PrivateKey, encrypted: bool) -> None:
    kept: list[bytes] = []

    def keep(asked: Asked) -> Say:
        kept.append(asked.body)
        return say({"uuid": BLOB}, 201)

    server = Vantage6(
        {
            "/blobstream": keep,
            f"/blobstream/{BLOB}": lambda _: say(body=kept[0]),
            "/result/1": lambda _: say(stored(1, BLOB, blob_storage_used=True)),
        }
    )
    data = json.dumps({"method": "m", "kwargs": {"x": "ä" * 100_000}}).encode()
    with Fake(server) as fake:
        here = api(fake, key=key if encrypted else None, blobs=True)
        assert here.prepare_input(data, key.public_text, "us") == BLOB
        assert here.result(1) == data
        assert (data[:20] in kept[0]) is False
        with pytest.raises(TooLargeError):
            here.result(1, limit=1000)
    assert next(asked for asked in fake.asked if asked.path == "/api/blobstream").headers["content-type"] == (
        "application/octet-stream"
    )


@pytest.mark.parametrize("name", ["../token/refresh", "abc", "g" * 36, ""])
def test_a_blob_whose_name_cannot_be_one_is_not_asked_for(name: str) -> None:
    with pytest.raises(StrangeError, match="cannot be one"):
        result_of(name, blob_storage_used=True)


def test_inputs_are_encrypted_where_the_collaboration_is(key: PrivateKey) -> None:
    with Fake(Vantage6()) as fake:
        plain, secret = (
            api(fake).prepare_input(b"{}", "", "us"),
            api(fake, key=key).prepare_input(b"{}", key.public_text, "us"),
        )
        with pytest.raises(encryption.KeyProblemError, match="no public key of beta"):
            api(fake, key=key).prepare_input(b"{}", "", "beta")
    assert encryption.decode(plain) == encryption.decrypt(secret, key) == b"{}"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_the_one_long_text_of_a_document_goes_to_a_file(step: int) -> None:
    value = {'a "quoted" \\ key\\': ['short \\" \n ä', 1, {"b": "x" * 50}], "c": "", "d": '"'}
    text = json.dumps(value).encode()
    file = io.BytesIO()
    spill = Spill(file, longest=40)
    out = b"".join(spill(text[at : at + step]) for at in range(0, len(text), step))
    assert json.loads(out) == json.loads(text.replace(b"x" * 50, STAND_IN.encode()))
    assert file.getvalue() == b"x" * 50
    assert spill.spilled == 50


@pytest.mark.parametrize("value", ["x" * 50 + "\n", "\n" + "x" * 50, ["x" * 50, "y" * 50]])
def test_long_texts_that_are_no_base64_or_not_alone_are_refused(value: Any) -> None:
    with pytest.raises(TooLargeError):
        Spill(io.BytesIO(), longest=40)(json.dumps(value).encode())


def test_open_runs_with_large_inputs_are_read_in_smaller_pages() -> None:
    runs = [run(number, 11, "active", input="x" * 1000, finished_at=None) for number in range(120)]

    def listed(asked: Asked) -> Say:
        size, number = int(asked.params["per_page"]), int(asked.params["page"])
        part = runs[(number - 1) * size : number * size]
        return say({"data": part, "links": {"next": "/"} if number * size < len(runs) else {}})

    with Fake(one("/run", listed)) as fake:
        here = Api(session(fake, body=70_000), Dialect(Version("4.15.2", (4, 15, 2))))
        assert [each.id for each in here.open_runs()] == list(range(120))
        assert {asked.params["per_page"] for asked in fake.asked[1:]} == {"1000", "50"}
        assert all("collaboration_id" not in asked.params for asked in fake.asked)

"""What of a file may be shown: nothing of a file that is none of ours, and no value under a secret key."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow import loading
from v6flow.core.language import document, redaction, schema
from v6flow.core.language.problem import InvalidError

SECRET = "hunter2"
MARK = "v6flow_federation: 1\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"v6flow: 1\n", "workflow"),
        (b"name: x\nv6flow : 1\n", "workflow"),
        (b"v6flow_federation:\n", "federation"),
        (b'"v6flow_test": 1\n', "test"),
        (b'{"v6flow": 1, "steps": {}}', "workflow"),
        (b'{\n  "v6flow_federation": 1}', "federation"),
        (b"\xef\xbb\xbfv6flow: 1\n", "workflow"),
        (b"a:\n  v6flow: 1\n", None),
        (b"# v6flow: 1\n", None),
        (b"v6flows: 1\n", None),
        (b"root:x:0:0::/root:/bin/sh\n", None),
    ],
)
def test_a_file_says_of_what_kind_it_is(text: bytes, kind: str | None) -> None:
    assert redaction.kind_of(text) == kind


@pytest.mark.parametrize(
    "key",
    ["password", "db_password", "PASSWORD", "passwd", "dbpass", "totp_secret", "clientSecret", "access_token",
     "api-key", "apiKey", "private_key", "ssh_key", "credentials", "authorization", "pasword", "passwort", "privat_key",
     "secrett", "pwd", "otp", "auth"],
)  # fmt: skip
def test_secret_keys(key: str) -> None:
    assert redaction.is_secret(key)


@pytest.mark.parametrize(
    "key", ["key", "server", "username", "author", "over", "method", "passenger", "column", "image"]
)
def test_other_keys(key: str) -> None:
    assert not redaction.is_secret(key)


HIDDEN = [
    f"password: {SECRET}",
    f"password : '{SECRET}'",
    f'  "password": "{SECRET}"',
    f"password:{SECRET}",
    f"password {SECRET}",
    f"pasword: {SECRET}",
    f"- token: {SECRET}",
    f"{{username: a, password: {SECRET}, x: {SECRET}}}",
    f"{{username: a, password: '{SECRET}, b: c', x: 1}}",
    f"PASSWORD={SECRET}",
    f"environment: {{-DB_PASSWORD: {SECRET}}}",
    f"environment: {{X: 1, DB_PASSWORD {SECRET}}}",
    f"export API_TOKEN={SECRET}",
    f"server: https://a:{SECRET}@example.org/",
    f"password:\n  {SECRET}",
    f"password: a\n  {SECRET}\n  {SECRET}",
    f"password: |\n  {SECRET}\n\n  {SECRET}",
    f"  password: >-\n    {SECRET}",
    f"passwords:\n- {SECRET}\n- {SECRET}",
    f"credentials:\n  user: {SECRET}\n  more:\n    x: {SECRET}",
    f'password: "a\n{SECRET}\n{SECRET}" # x\nend: 1',
    f"? password\n: {SECRET}",
    f"x: {{password:\n  {SECRET}}}",
    f"# password: {SECRET}",
    f"a: -----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY-----\nend: 1",
    f"password: ${{env:X}}{SECRET}",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_stands_under_a_secret_key_is_blanked(text: str) -> None:
    whole = f"{MARK}{text}\nserver: seen\n"
    blanked = redaction.blank(whole)
    assert SECRET not in blanked
    assert blanked.endswith("\nserver: seen\n")
    assert blanked.count("\n") == whole.count("\n")
    for number in range(1, whole.count("\n") + 2):
        for column in range(1, 60):
            shown = redaction.excerpt(whole, number, column)
            assert shown is not None
            assert SECRET not in shown[0]


def test_what_is_no_secret_is_shown() -> None:
    text = f"{MARK}password: ${{env:X}}\nx: {{password: '${{file:a b}}', y: 1}}\nusername: a\n"
    assert redaction.blank(text) == text
    assert redaction.excerpt(text, 4, 11) == ("username: a", 11)


def test_a_caret_stays_below_what_it_points_at() -> None:
    line = "x: [https://a:hunter2@b/, c, password: d]"
    shown = redaction.excerpt(f"{MARK}{line}\n", 2, line.index("c,") + 1)
    assert shown is not None
    assert shown[0][shown[1] - 1] == "c"


def test_nothing_is_shown_of_another_file() -> None:
    assert redaction.excerpt("root:x:0\n", 1, 1) is None


# -- what reading says of files that are none of ours

ANIMALS = re.compile("zebra|quokka|wombat|axolotl|0123456|5afe|gnu|emu|yak")


def told(error: InvalidError) -> str:
    return " ".join(f"{each.message} {each.hint}" for each in error.problems)


WORDS = st.sampled_from(["zebra", "quokka", "wombat", "axolotl9", "0123456", "0x5afe", "*gnu", "&emu", "!yak", "<<"])
SIGNS = st.sampled_from(
    [": ", ":", "\n", "\n  ", " - ", "- ", "[", "]", "{", "}", "{{", "}}", '"', "'", ", ", " #", "|\n", "\t"]
)
TEXTS = st.lists(st.one_of(WORDS, SIGNS), min_size=1, max_size=25).map("".join)


@given(TEXTS, st.sampled_from(["workflow", "federation", "test"]))
def test_no_message_quotes_a_file_that_is_none_of_ours(text: str, kind: str) -> None:
    with pytest.raises(InvalidError) as caught:
        loading.parse_document(text, "other", kind=kind)
    assert not ANIMALS.search(f"{caught.value.message} {caught.value.hint}")
    assert not ANIMALS.search(told(caught.value))


@given(TEXTS)
def test_no_message_quotes_a_file_of_params_that_cannot_be_read(text: str) -> None:
    said = ""
    try:
        with loading._showing(text, "parameter"):
            document.parse(text, "params.yaml")
    except InvalidError as error:
        said = told(error)
    assert not ANIMALS.search(said)


FEDERATION: dict[str, Any] = {
    "v6flow_federation": 1, "backend": "vantage6", "server": "https://a/api", "collaboration": "c", "username": "a",
    "password": "${env:X}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", SECRET), ("password", [SECRET]), ("password", {"a": SECRET}), ("totp_secret", SECRET),
        ("pasword", SECRET), ("client_secret", SECRET), ("api_key", [SECRET]), ("private_key", f"{SECRET}\n{SECRET}"),
        ("server", f"ftp://a:{SECRET}@b"), ("organizations", {"a": {"id": 1, "token": SECRET}}),
    ],
)  # fmt: skip
def test_no_message_repeats_a_secret(key: str, value: Any) -> None:
    text = json.dumps({**FEDERATION, key: value})
    with pytest.raises(InvalidError) as caught:
        loading.parse_document(text, "federation.yaml", kind="federation")
    assert SECRET not in told(caught.value)


@pytest.mark.parametrize(
    "line", [f"password {SECRET}:", f"environment: {{DB_PASSWORD {SECRET}}}", f"server: ftp:/a:{SECRET}@b"]
)
def test_no_message_repeats_a_secret_that_is_written_wrong(line: str) -> None:
    with pytest.raises(InvalidError) as caught:
        loading.parse_document(f"{MARK}backend: vantage6\n{line}\n", "federation.yaml", kind="federation")
    assert SECRET not in told(caught.value)


@pytest.mark.parametrize("value", ["0123456", "[0123456, 1]", "{a: 0x5afe}"])
def test_no_message_repeats_an_odd_number_under_a_secret_key(value: str) -> None:
    with pytest.raises(InvalidError) as caught:
        loading.parse_document(f"{MARK}passwords: {value}\n", "federation.yaml", kind="federation")
    (problem,) = caught.value.problems
    assert (problem.message, problem.hint) == (
        "a number that YAML readers understand differently",
        "put quotes around it",
    )


def test_every_key_that_a_schema_marks_as_never_shown_is_secret_by_name() -> None:
    found: set[str] = set()

    def look(schema: Any) -> None:
        if isinstance(schema, dict):
            for key, each in schema.get("properties", {}).items():
                if isinstance(each, dict) and each.get("writeOnly"):
                    found.add(key)
            for each in schema.values():
                look(each)
        elif isinstance(schema, list):
            for each in schema:
                look(each)

    for name in loading.SCHEMA_NAMES:
        look(loading.read_schema(name))
    assert {"password", "totp_secret"} <= found
    assert all(map(redaction.is_secret, found))


def test_no_message_repeats_a_secret_param() -> None:
    nested = {"type": "object", "properties": {"password": {"type": "integer"}}}
    for name, fragment, value in (
        ("password", {"type": "integer"}, SECRET), ("p", {"type": "integer", "writeOnly": True}, SECRET),
        ("p", nested, {"password": SECRET}), ("p", {"enum": ["a"], "writeOnly": True}, SECRET),
        ("token", {"enum": ["a"]}, SECRET),
    ):  # fmt: skip
        (problem,) = schema.param_problems(name, fragment, value)
        assert SECRET not in problem
    (problem,) = schema.param_problems("p", {"enum": ["a"]}, "seen")
    assert "seen" in problem

"""Our encryption and that of the released vantage6 read each other."""

from __future__ import annotations

import base64
import io
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from v6flow.backends.vantage6 import encryption
from v6flow.backends.vantage6.encryption import DecryptionError, KeyProblemError, PrivateKey

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [b"{}", b"53.25", '{"naïve": [1, null, "x$y"]}'.encode(), b'"' + b"x" * 200_000 + b'"', b'"QUJD"']


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, hidden)


@pytest.fixture(scope="module")
def pem() -> bytes:
    return pem_of(rsa.generate_private_key(65537, 2048))


@pytest.fixture(scope="module")
def other() -> PrivateKey:
    return encryption.load_private_key(pem_of(rsa.generate_private_key(65537, 2048)), "other.pem")


@pytest.fixture
def key(pem: bytes) -> PrivateKey:
    return encryption.load_private_key(pem, "ours.pem")


@pytest.fixture
def released(pem: bytes, tmp_path: Path) -> Any:
    """The released class with our key; it remembers the first key it ever had, which it is made to forget."""
    module = pytest.importorskip("vantage6.common.encryption")
    path = tmp_path / "ours.pem"
    path.write_bytes(pem)
    type(module.RSACryptor)._instances.pop(module.RSACryptor, None)
    yield module.RSACryptor(path)
    type(module.RSACryptor)._instances.pop(module.RSACryptor, None)


@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_vantage6_reads_what_we_encrypt(key: PrivateKey, released: Any, text: bytes) -> None:
    assert released.decrypt(encryption.encrypt(text, released.public_key_str, "us")) == text
    blob = encryption.encrypt_blob(text, released.public_key_str, "us")
    assert released.decrypt(blob) == text
    assert b"".join(released.decrypt_stream(io.BytesIO(blob))) == text


@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_we_read_what_vantage6_encrypts(key: PrivateKey, released: Any, text: bytes) -> None:
    theirs = released.encrypt_bytes_to_str(text, key.public_text)
    assert encryption.decrypt(theirs, key) == text
    sink = io.BytesIO()
    assert encryption.decrypt_stream(io.BytesIO(theirs.encode()), sink, key, raw=False) == len(text)
    assert sink.getvalue() == text
    sink = io.BytesIO()
    blob = b"".join(released.encrypt_stream(io.BytesIO(text), key.public_text))
    encryption.decrypt_stream(io.BytesIO(blob), sink, key, raw=True)
    assert sink.getvalue() == text


def test_keys_and_lengths_are_vantage6s(released: Any, key: PrivateKey, tmp_path: Path) -> None:
    assert key.public_text == released.public_key_str
    ours = encryption.generate_private_key()
    assert ours.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
    path = tmp_path / "ours"
    path.write_bytes(ours)
    kind: Any = type(type(released))
    kind._instances.pop(type(released), None)
    theirs = type(released)(path)
    new = encryption.load_private_key(ours, "new.pem")
    assert theirs.verify_public_key(new.public_text)
    parts = encryption.encrypt(b"x" * 30, new.public_text, "us").split("$")
    assert [len(part) for part in parts] == [684, 24, 40]


def test_what_vantage6s_own_pages_send_is_read_as_vantage6_reads_it(key: PrivateKey, released: Any) -> None:
    """They encrypt base64 text, both of the key and of the value."""
    public = encryption.load_public_key(key.public_text, "us")
    shared, iv, text = os.urandom(32), os.urandom(16), b'{"a": 1}'
    encryptor = Cipher(algorithms.AES(shared), modes.CTR(iv)).encryptor()
    body = encryptor.update(base64.b64encode(text)) + encryptor.finalize()
    wrapped = public.encrypt(base64.b64encode(shared), padding.PKCS1v15())
    sent = "$".join(base64.b64encode(part).decode() for part in (wrapped, iv, body))
    assert released.decrypt(sent) == encryption.decrypt(sent, key) == text


def test_a_result_that_is_text_but_no_json_stays_what_it_is(key: PrivateKey) -> None:
    assert encryption.decrypt(encryption.encrypt(b"not json", key.public_text, "us"), key) == b"not json"


@pytest.mark.parametrize(
    "damage", ["other key", "no parts", "plain", "short iv", "key", "base64", "four parts", "empty"]
)
def test_what_cannot_be_decrypted_is_an_error(key: PrivateKey, other: PrivateKey, damage: str) -> None:
    good = encryption.encrypt(b'{"value": "0123456789 0123456789 0123456789"}', key.public_text, "us")
    wrapped, iv, body = good.split("$")
    bad = {
        "other key": encryption.encrypt(b'{"value": "0123456789 0123456789"}', other.public_text, "them"),
        "no parts": base64.b64encode(b"{}").decode(),
        "plain": "{}",
        "short iv": f"{wrapped}${iv[:8]}${body}",
        "key": f"{wrapped[:-8]}AAAAAA==${iv}${body}",
        "base64": f"{wrapped}${iv}${body[:-1]}",
        "four parts": good + "$",
        "empty": "",
    }[damage]
    with pytest.raises(DecryptionError):
        encryption.decrypt(bad, key)
    with pytest.raises(DecryptionError):
        encryption.decrypt_stream(io.BytesIO(bad.encode()), io.BytesIO(), key, raw=False)


def test_what_is_encrypted_where_nothing_should_be_is_an_error(key: PrivateKey) -> None:
    sent = encryption.encrypt(b"{}", key.public_text, "us")
    with pytest.raises(DecryptionError, match="the collaboration is not"):
        encryption.decode(sent)
    with pytest.raises(DecryptionError):
        encryption.decode_stream(io.BytesIO(sent.encode()), io.BytesIO())


@pytest.mark.parametrize("size", [0, 1, 2, 3, 65_535, 65_536, 200_001])
def test_without_encryption_there_is_base64(size: int) -> None:
    data = os.urandom(size)
    assert encryption.decode(encryption.encode(data)) == data
    sink = io.BytesIO()
    assert encryption.decode_stream(io.BytesIO(encryption.encode(data).encode()), sink) == size
    assert sink.getvalue() == data


def test_keys_that_cannot_be_used_are_refused(key: PrivateKey) -> None:
    small, curve = rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1())
    public = base64.b64decode(key.public_text)
    for text, words in (
        (pem_of(rsa.generate_private_key(65537, 2048), b"secret"), "protected by a passphrase"),
        (public, "holds a public key"),
        (b"hello", "not a private key"),
        (b"", "not a private key"),
        (pem_of(curve), "not an RSA key"),
        (pem_of(small), "only 1024 bits"),
    ):
        with pytest.raises(KeyProblemError, match=words) as caught:
            encryption.load_private_key(text, "ours.pem")
        assert "ours.pem" in str(caught.value)
    for stored, words in (("", "has no public key of beta"), ("hello", "is none"), ("aGVsbG8=", "is none")):
        with pytest.raises(KeyProblemError, match=words):
            encryption.encrypt(b"{}", stored, "beta")


def test_our_key_must_be_the_one_that_the_server_knows(key: PrivateKey, other: PrivateKey) -> None:
    encryption.check_matches(key, key.public_text, "alpha")
    rewritten = base64.b64encode(base64.b64decode(key.public_text).replace(b"\n", b"\r\n")).decode()
    encryption.check_matches(key, rewritten, "alpha")
    with pytest.raises(KeyProblemError, match="not the one whose public key the server has of alpha"):
        encryption.check_matches(key, other.public_text, "alpha")
    with pytest.raises(KeyProblemError, match="no public key of alpha") as caught:
        encryption.check_matches(key, "", "alpha")
    assert "v6flow upload-key" in (caught.value.hint or "")


def test_a_private_key_is_neither_shown_nor_pickled(key: PrivateKey) -> None:
    assert f"{key} {key!r}" == "PrivateKey(…) PrivateKey(…)"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_fingerprint_is_of_the_key_and_not_of_how_it_is_written(key: PrivateKey, other: PrivateKey) -> None:
    rewritten = base64.b64encode(base64.b64decode(key.public_text).replace(b"\n", b"\r\n")).decode()
    assert encryption.fingerprint(key.public_text) == encryption.fingerprint(rewritten)
    assert encryption.fingerprint(key.public_text) != encryption.fingerprint(other.public_text)
    for none in ("", "hello", "aGVsbG8=", "é"):
        assert encryption.fingerprint(none) is None

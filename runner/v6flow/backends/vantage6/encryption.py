"""Encryption between organizations, byte-compatible with that of vantage6.

A ciphertext is `b64(RSA-PKCS1v15(public key, K)) $ b64(IV) $ b64(AES-256-CTR(K, IV, plaintext))`; in blob storage the
last part is raw bytes. Nothing in it proves that it is whole (vantage6 has no MAC), so what decrypts to no text is
refused. Without encryption there is base64 only. A failure is an error: ciphertext never leaves as a value.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import os
import shlex
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from v6flow.core import json
from v6flow.errors import FederationError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEPARATOR = "$"
KEY_BYTES, IV_BYTES = 32, 16
NEW_KEY_BITS = 4096  # what vantage6 makes
SMALLEST_KEY_BITS = 2048
PIECE = 64 * 1024
LONGEST_HEADER = 8192  # two base64 parts of a key that nobody has larger than 16384 bits


class KeyProblemError(FederationError):
    """A key cannot be used, or is not the one that the server knows (exit 2)."""

    kind = "key"


class DecryptionError(V6flowError):
    """What an organization sent cannot be decrypted, or is not in the form agreed on."""

    kind = "decryption"


class Writer(Protocol):
    """All that is needed of a file to write to."""

    def write(self, data: bytes, /) -> int:
        """Write; returns the number of bytes."""


class PrivateKey:
    """An organization's private key. It cannot be shown or pickled."""

    __slots__ = ("_rsa", "public_text")

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._rsa = key
        self.public_text = base64.b64encode(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        ).decode("ascii")
        """The public key as a vantage6 server stores it: the PEM text in base64."""

    def __repr__(self) -> str:
        return "PrivateKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")

    def unlock(self, wrapped: bytes) -> bytes:
        """The key of a message. Raises DecryptionError."""
        try:
            opened = self._rsa.decrypt(wrapped, padding.PKCS1v15())
            if len(opened) != KEY_BYTES:  # vantage6's own pages encrypt the base64 text of the key
                opened = base64.b64decode(opened, validate=True)
        except (ValueError, binascii.Error) as error:
            raise DecryptionError(_OTHER_KEY) from error
        if len(opened) != KEY_BYTES:
            raise DecryptionError(_OTHER_KEY)
        return opened


_OTHER_KEY = "it was encrypted for another key than ours, or damaged on the way"


LARGEST_FILE = 1 << 20  # bytes of a file with a private key: a hundred times the largest key


def load_private_key(pem: bytes, where: str) -> PrivateKey:
    """The private key in the text of a file; `where` names the file in errors. Raises KeyProblemError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise KeyProblemError(
            f"the private key {where} is protected by a passphrase",
            hint=f"vantage6 uses keys without one: openssl rsa -in {shlex.quote(where)} -traditional -out NEW",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        what = "holds a public key" if b"PUBLIC KEY" in pem else "is not a private key in PEM format"
        raise KeyProblemError(
            f"the file {where} {what}", hint="it begins with -----BEGIN RSA PRIVATE KEY-----"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyProblemError(f"the private key {where} is not an RSA key", hint="vantage6 uses RSA keys only")
    if key.key_size < SMALLEST_KEY_BITS:
        raise KeyProblemError(f"the private key {where} has only {key.key_size} bits: anybody may break it")
    return PrivateKey(key)


def generate_private_key(bits: int = NEW_KEY_BITS) -> bytes:
    """The PEM text of a new private key, as vantage6 makes them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def load_public_key(text: str, whose: str) -> rsa.RSAPublicKey:
    """The public key that a server stores for an organization. Raises KeyProblemError."""
    if not text:
        raise KeyProblemError(
            f"the server has no public key of {whose}",
            hint="its node uploads one when it starts with encryption on",
        )
    try:
        key = serialization.load_pem_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm, binascii.Error) as error:
        raise KeyProblemError(f"what the server has as the public key of {whose} is none") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyProblemError(f"the public key of {whose} is not an RSA key")
    if key.key_size < SMALLEST_KEY_BITS:
        raise KeyProblemError(f"the public key of {whose} has only {key.key_size} bits: anybody may read what is sent")
    return key


def check_matches(key: PrivateKey, stored: str, whose: str) -> None:
    """That the server's public key of our organization belongs to our private key. Raises KeyProblemError."""
    if not stored:
        raise KeyProblemError(
            f"the server has no public key of {whose}",
            hint="`v6flow upload-key --federation FILE` puts that of our private key there",
        )
    ours = load_public_key(key.public_text, whose)
    if load_public_key(stored, whose).public_numbers() != ours.public_numbers():
        raise KeyProblemError(
            f"our private key is not the one whose public key the server has of {whose}",
            hint="results are encrypted for the key at the server: use its private key; "
            "`v6flow upload-key --federation FILE` shows what replacing it would mean",
        )


def encrypt(data: bytes, public_text: str, whose: str, *, random: Callable[[int], bytes] = os.urandom) -> str:
    """`data` for the organization whose public key this is, as a text. Raises KeyProblemError."""
    header, body = _encrypt(data, public_text, whose, random)
    return header + base64.b64encode(body).decode("ascii")


def encrypt_blob(data: bytes, public_text: str, whose: str, *, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """`data` for an organization, as blob storage holds it. Raises KeyProblemError."""
    header, body = _encrypt(data, public_text, whose, random)
    return header.encode("ascii") + body


def _encrypt(data: bytes, public_text: str, whose: str, random: Callable[[int], bytes]) -> tuple[str, bytes]:
    public = load_public_key(public_text, whose)
    key, iv = random(KEY_BYTES), random(IV_BYTES)
    encryptor = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    wrapped = public.encrypt(key, padding.PKCS1v15())
    parts = (base64.b64encode(wrapped).decode("ascii"), base64.b64encode(iv).decode("ascii"), "")
    return SEPARATOR.join(parts), encryptor.update(data) + encryptor.finalize()


def decrypt(text: str, key: PrivateKey) -> bytes:
    """The plaintext of a text that was encrypted for us. Raises DecryptionError."""
    wrapped, iv, body = _parts(text)
    decryptor = _decryptor(wrapped, iv, key)
    plain = decryptor.update(_unbase64(body)) + decryptor.finalize()
    try:
        plain.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecryptionError(_OTHER_KEY) from error
    return _from_pages(plain)


def encode(data: bytes) -> str:
    """`data` as it travels where there is no encryption."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """What travelled without encryption. Raises DecryptionError."""
    if SEPARATOR in text:
        raise DecryptionError(
            "it is encrypted, but the collaboration is not",
            hint="encryption is on in the configuration of that node",
        )
    return _unbase64(text)


def decrypt_stream(source: BinaryIO, sink: Writer, key: PrivateKey, *, raw: bool) -> int:
    """Write the plaintext of a file that was encrypted for us; the bytes written.

    `raw` says that the body is bytes, as in blob storage, and not base64. Raises DecryptionError, and what was written
    until then is no value.
    """
    header = bytearray()
    while header.count(SEPARATOR.encode()) < 2:
        one = source.read(1)
        if not one or len(header) > LONGEST_HEADER:
            raise DecryptionError("it is not encrypted, but the collaboration is")
        header += one
    try:
        wrapped, iv, _ = _parts(header.decode("ascii"))
    except UnicodeDecodeError as error:
        raise DecryptionError("it is not encrypted, but the collaboration is") from error
    decryptor = _decryptor(wrapped, iv, key)
    check = codecs.getincrementaldecoder("utf-8")()
    written = 0
    try:
        for piece in _pieces(source) if raw else _unbase64_pieces(source):
            plain = decryptor.update(piece)
            check.decode(plain)
            written += sink.write(plain)
        check.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DecryptionError(_OTHER_KEY) from error
    return written


def decode_stream(source: BinaryIO, sink: Writer) -> int:
    """Write what travelled without encryption; the bytes written. Raises DecryptionError."""
    return sum(sink.write(piece) for piece in _unbase64_pieces(source))


def _parts(text: str) -> tuple[str, str, str]:
    parts = text.split(SEPARATOR)
    if len(parts) != 3:
        if len(parts) == 1:
            raise DecryptionError("it is not encrypted, but the collaboration is")
        raise DecryptionError("it does not have the three parts of an encrypted text")
    return parts[0], parts[1], parts[2]


def _decryptor(wrapped: str, iv: str, key: PrivateKey) -> CipherContext:
    start = _unbase64(iv)
    if len(start) != IV_BYTES:
        raise DecryptionError("its initialization vector has the wrong length")
    return Cipher(algorithms.AES(key.unlock(_unbase64(wrapped))), modes.CTR(start)).decryptor()


def _unbase64(text: str | bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise DecryptionError("it is not base64: damaged on the way") from error


def _from_pages(plain: bytes) -> bytes:
    """Vantage6's own pages encrypt the base64 text of what they send, so it is recognized by not being JSON."""
    try:
        json.loads(plain, allow_nonfinite=True)
    except json.JsonError:
        try:
            return base64.b64decode(plain, validate=True)
        except (ValueError, binascii.Error):
            pass
    return plain


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


def _unbase64_pieces(source: BinaryIO) -> Iterator[bytes]:
    rest = b""
    for piece in _pieces(source):
        rest += piece
        whole = len(rest) // 4 * 4
        if SEPARATOR.encode() in piece:
            raise DecryptionError("it is encrypted, but the collaboration is not")
        yield _unbase64(rest[:whole])
        rest = rest[whole:]
    if rest:
        raise DecryptionError("it is not base64: damaged on the way")


def fingerprint(public_text: str) -> str | None:
    """The fingerprint of a public key, None for what is no public key.

    It is `sha256:` and the SHA-256 of the key as DER SubjectPublicKeyInfo, in hexadecimal; keys may be of any kind.
    """
    try:
        key = serialization.load_pem_public_key(base64.b64decode(public_text, validate=True))
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        return None
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"

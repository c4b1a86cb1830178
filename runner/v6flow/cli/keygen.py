"""Make a private key for an organization in encrypted collaborations, as vantage6 makes them, in a new file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from v6flow.cli.arguments import Parser
    from v6flow.errors import UsageError

FINGERPRINT = "the SHA-256 of the public key as DER SubjectPublicKeyInfo"


def configure(parser: Parser) -> None:
    from v6flow.cli import arguments as common

    parser.add_argument("file", metavar="FILE", help="the new file; one that exists is never written over")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import paths
    from v6flow.backends.vantage6 import encryption
    from v6flow.cli import show

    path = paths.expand(arguments.file)
    _check(path)
    pem = encryption.generate_private_key()
    write(path, pem)
    public_text = encryption.load_private_key(pem, str(path)).public_text
    fingerprint = encryption.fingerprint(public_text)
    if arguments.output == "json":
        show.write({"file": str(path), "fingerprint": fingerprint, "fingerprint_of": FINGERPRINT,
                    "public_key": public_text})  # fmt: skip
        return 0
    show.data(f"{fingerprint}\n")
    show.lines(
        [
            f"a private key of {encryption.NEW_KEY_BITS} bits is in {path}; above is its fingerprint: {FINGERPRINT}",
            "keep it and a copy of it where nobody else can read it: without it, what is encrypted for it is lost",
            f"next: name it in the federation file (private_key: {_spell(path)})",
            "then: `v6flow upload-key --federation FILE` puts its public key at the server",
            "and: your organization's nodes need this private key too",
        ]
    )
    return 0


def write(path: Path, pem: bytes) -> None:
    """Put a private key in a new file (0600), whole or not at all. Raises UsageError; what is there stays as it is."""
    import os
    import tempfile

    from v6flow.errors import UsageError

    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".v6flow-") as part:  # its mode is 0600
            part.write(pem)
            part.flush()
            os.fsync(part.fileno())
            os.link(part.name, path)  # which, unlike a renaming, replaces nothing
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise UsageError(
            f"the private key {path} cannot be written: {error.strerror}",
            hint="name a file in a folder of your own, on a disk that has links (FAT has none)",
        ) from error


def _spell(path: Path) -> str:
    """A path as a YAML value; absolute, since a federation file takes others relative to its own folder."""
    from v6flow.core.language import quoting

    text = str(path.absolute())
    return text if re.fullmatch(r"[\w./-]+", text) else quoting.quoted(text)


def _check(path: Path) -> None:
    import os
    import shlex

    from v6flow import paths
    from v6flow.errors import UsageError

    if os.path.lexists(path):
        raise _exists(path)
    if not paths.is_folder(path.parent):
        raise UsageError(f"there is no folder {path.parent}", hint=f"mkdir -p {shlex.quote(str(path.parent))}")


def _exists(path: Path) -> UsageError:
    from v6flow.errors import UsageError

    return UsageError(
        f"{path} is there already, and may be a private key: it is not written over",
        hint="name another file; what was encrypted for an old key can be read with that key only",
    )

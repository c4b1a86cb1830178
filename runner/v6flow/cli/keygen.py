"""Create a private key for an organization in encrypted collaborations, in vantage6's format, in a new file."""

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

    parser.add_argument("file", metavar="FILE", help="the new file; an existing file is never overwritten")
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
            f"wrote a private key of {encryption.NEW_KEY_BITS} bits to {path}; above is its fingerprint: {FINGERPRINT}",
            "keep the key and a backup where nobody else can read them: without the key, data encrypted for it is lost",
            f"next: name it in the federation file (private_key: {_spell(path)})",
            "then: `v6flow upload-key --federation FILE` uploads its public key to the server",
            "also: your organization's nodes need this private key",
        ]
    )
    return 0


def write(path: Path, pem: bytes) -> None:
    """Write a private key to a new file (0600) atomically. Raises UsageError, also if the file exists."""
    import os
    import tempfile

    from v6flow.errors import UsageError

    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".v6flow-") as part:  # its mode is 0600
            part.write(pem)
            part.flush()
            os.fsync(part.fileno())
            os.link(part.name, path)  # unlike renaming, this never replaces a file
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
            hint="name a file in a folder that you can write to, on a file system with hard links (FAT has none)",
        ) from error


def _spell(path: Path) -> str:
    """The absolute path as a YAML value: a federation file reads relative paths from its own folder."""
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
        f"{path} already exists and may be a private key: it was not overwritten",
        hint="name another file; data encrypted for an old key can be read only with that key",
    )

"""Upload the public key of your organization to the server; others then encrypt with it.

The key belongs to the private key that the federation file names (`private_key`). A different public key at the server
is kept unless --replace is given: after a replacement, the old private key cannot decrypt new data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    from v6flow.cli import arguments as common

    parser.add_argument(
        "-f", "--federation", metavar="FILE", required=True, help="the federation: its server, user and private key"
    ).complete = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # type: ignore[attr-defined]
    parser.add_argument("--replace", action="store_true", help="replace the public key that the server has")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import loading
    from v6flow.cli import show
    from v6flow.errors import FederationError

    federation = loading.read_federation(arguments.federation)
    key = federation.access().upload_key(replace=arguments.replace, announce=show.lines)
    if key is None:
        raise FederationError(
            f"{arguments.federation} {federation.unencrypted}",
            hint="`backend: vantage6` is a federation at a server",
        )
    if arguments.output == "json":
        show.write({"status": key.status, "organization": key.organization, "old": key.old, "new": key.new})
        return 0
    show.data(f"{key.new}\n")
    words = {
        "kept": "already had this key",
        "added": "now has this key; it had none before",
        "replaced": "now has this key instead of another",
    }[key.status]
    show.lines([f"above is the fingerprint of the public key of {key.organization}; the server {words}"])
    return 0

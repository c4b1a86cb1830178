"""Put the public key of your organization at the server, which others then encrypt for.

It belongs to the private key that the federation file names (`private_key`). A public key that is there already and
differs stays, unless --replace is given: whoever has only the old private key can then no longer read what comes.
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
    from v6flow.backends.vantage6 import keys
    from v6flow.cli import show
    from v6flow.core.server import ServerFederation
    from v6flow.errors import FederationError

    federation = loading.read_federation(arguments.federation)
    if not isinstance(federation, ServerFederation):
        raise FederationError(
            f"{arguments.federation} is simulated here, where nothing is encrypted",
            hint="`backend: vantage6` is a federation at a server",
        )
    key = keys.read_private_key(federation)
    with keys.logged_in(federation) as session:
        found = keys.compare(session, key)
        keys.check_replacement(found, replace=arguments.replace)
        if found.status == "different":
            show.lines(
                [
                    f"replacing the public key of {found.whose} at {session.transport.address}:",
                    f"  old {found.old}",
                    f"  new {found.ours}",
                    *(sentence.format(whose=found.whose) for sentence in keys.MEANING),
                ]
            )
        if found.status != "same":
            keys.put(session, key, found)
    done = {"same": "kept", "none": "added", "different": "replaced"}[found.status]
    if arguments.output == "json":
        show.write({"status": done, "organization": found.whose, "old": found.theirs, "new": found.ours})
        return 0
    show.data(f"{found.ours}\n")
    words = {"kept": "had it already", "added": "has it now; it had none", "replaced": "has it now"}[done]
    show.lines([f"above is the fingerprint of the public key of {found.whose}; the server {words}"])
    return 0

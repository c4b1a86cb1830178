"""Serves a real vantage6 server on loopback, in the environment of `environment.py`: `serve.py SETTINGS`.

SETTINGS is a JSON file: {config: the server's YAML file, port, world: what the database holds at first}. One line
of JSON on stdout says who there is, with their ids, once the server listens. It ends when its stdin ends.
"""

# vantage6 carries no types, and is not installed where mypy runs:
# mypy: ignore-errors

from __future__ import annotations

import _thread
import enum
import json
import os
import secrets
import socket
import sys
from pathlib import Path

HOST = "127.0.0.1"
PING = 10  # seconds until the server asks whether a node is still there, and until it takes silence for an answer
KEY_BITS = 2048  # the released cryptor takes any length; 4096 takes seconds to make


def end_with_stdin() -> None:
    """The one who started us holds the other end; it closes however that one ends."""
    while os.read(0, 1):
        pass
    os._exit(0)


def mend_enums() -> None:
    """Format a `(str, Enum)` as its value, as Python 3.10 did: the server names its permissions so."""

    def as_before(self: enum.Enum, spec: str) -> str:
        return format(self.value if isinstance(self, str) else str(self), spec)

    if sys.version_info >= (3, 11):
        enum.Enum.__format__ = as_before


def never_give_an_id_twice() -> None:
    """Let SQLite number as PostgreSQL does: else the next task gets the id of one that was deleted."""
    from vantage6.server.model.base import Base

    for table in Base.metadata.tables.values():
        keys = list(table.primary_key.columns)
        if len(keys) == 1 and not keys[0].foreign_keys:
            table.dialect_options["sqlite"]["autoincrement"] = True


def fill(world: dict) -> None:
    """Put organizations, collaborations, nodes and the users who may do everything into an empty database."""
    from vantage6.server import db
    from vantage6.server.controller import fixture

    if db.Organization.get():
        return
    for organization in world["organizations"]:
        organization["public_key"] = public_key(Path(organization.pop("private_key")))
    fixture.load(world)


def add_users(world: dict) -> None:
    """Add the users with lesser rights, who need the roles that the server makes when it starts."""
    from vantage6.server import db
    from vantage6.server.model.rule import Operation, Scope

    known = {user.username for user in db.User.get()}
    for wanted in world["users"]:
        if wanted["username"] in known:
            continue
        organization = db.Organization.get_by_name(wanted["organization"])
        if "role" in wanted:
            role = db.Role.get_by_name(wanted["role"])
        else:
            rules = [
                db.Rule.get_by_(name, Scope[scope], Operation[operation]) for name, operation, scope in wanted["rules"]
            ]
            if None in rules:
                raise SystemExit(f"the server has no such rule: {wanted['rules'][rules.index(None)]}")
            role = db.Role(name=f"of {wanted['username']}", rules=rules, organization=organization)
            role.save()
        user = db.User(
            username=wanted["username"],
            password=wanted["password"],
            email=f"{wanted['username']}@example.org",
            otp_secret=wanted.get("totp_secret"),
            failed_login_attempts=0,
            organization=organization,
            roles=[role],
        )
        user.save()


def public_key(path: Path) -> str:
    """Make a private key; the public one, as the server keeps it."""
    import base64

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(public).decode("ascii")


def known() -> dict:
    """Who there is, with their ids."""
    from vantage6.server import db

    return {
        "organizations": {each.name: each.id for each in db.Organization.get()},
        "collaborations": {each.name: each.id for each in db.Collaboration.get()},
        "nodes": {each.name: each.id for each in db.Node.get()},
        "users": {each.username: each.id for each in db.User.get()},
    }


def listen(port: int) -> socket.socket:
    """A listening socket; the port stays reserved by another socket while we are away, hence the option."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((HOST, port))
    listener.listen(128)
    listener.setblocking(False)
    return listener


def main() -> None:
    _thread.start_new_thread(end_with_stdin, ())  # before gevent makes threads its own
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    mend_enums()
    import bcrypt

    make_salt = bcrypt.gensalt
    bcrypt.gensalt = lambda: make_salt(4)  # else a node's log-in takes 0.2 s per node that there is
    nobody_knows = bcrypt.hashpw(secrets.token_bytes(32), bcrypt.gensalt())
    os.environ["V6_INIT_SUPER_PASS_HASHED"] = nobody_knows.decode("ascii")  # else root's is "root"

    from gevent import monkey

    monkey.patch_all()  # as the server does, and before anything imports ssl

    from gevent.pywsgi import WSGIServer
    from vantage6.cli.context.server import ServerContext
    from vantage6.server import run_server
    from vantage6.server.model.base import Database, DatabaseSessionManager

    context = ServerContext.from_external_config_file(settings["config"], system_folders=False)
    never_give_an_id_twice()
    Database().connect(uri=context.get_database_uri(), allow_drop_all=False)
    fill(settings["world"])
    server = run_server(settings["config"], system_folders=False)
    sessions = server.socketio.server.eio
    sessions.ping_interval = sessions.ping_timeout = PING  # who is gone without a word is noticed sooner
    add_users(settings["world"])
    ready = known()
    DatabaseSessionManager.clear_session()
    # what `run_dev_server` does, on a socket of ours
    server.socketio.wsgi_server = WSGIServer(listen(settings["port"]), server.app, log=None)
    server.socketio.wsgi_server.start()
    print(json.dumps(ready), flush=True)
    server.socketio.wsgi_server.serve_forever()


if __name__ == "__main__":
    main()

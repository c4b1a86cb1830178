"""Start a project folder: a workflow that runs at once on three invented hospitals on this machine.

Nothing that exists is written over. --list shows the templates there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from v6flow.cli.arguments import Parser

TEMPLATES = Path(__file__).parents[1] / "templates"
COMMON = "common"  # the folder of what all templates have
WORKFLOW = "workflow.yaml"
BUILT_IN = "average"


def configure(parser: Parser) -> None:
    from v6flow.cli import arguments as common

    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", default=".", help="the project's folder (built in: the current one)"
    )
    parser.add_argument(
        "-t", "--template", metavar="NAME", default=BUILT_IN, help=f"what to start from (built in: {BUILT_IN})"
    )
    parser.add_argument("--list", action="store_true", help="list the templates, and write nothing")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.reporters.terminal import plain

    if arguments.list:
        return _list(as_json=arguments.output == "json")
    files = project(arguments.template)
    folder = Path(arguments.folder).expanduser()
    write(folder, files)
    if arguments.output == "json":
        show.write({"folder": str(folder), "template": arguments.template, "files": sorted(files)})
        return 0
    show.data("".join(f"{plain(str(folder / name))}\n" for name in sorted(files)))
    here = "" if folder.resolve() == Path.cwd() else f"cd {plain(str(folder))} && "
    show.lines([f"next: {here}v6flow run {WORKFLOW}"])
    return 0


def templates() -> dict[str, str]:
    """The templates by name, each with what it computes."""
    from v6flow.core import document

    found = {}
    for folder in sorted(TEMPLATES.iterdir()):
        file = folder / WORKFLOW
        if file.is_file():
            found[folder.name] = str(document.parse(file.read_bytes(), str(file)).value["description"])
    return found


def project(template: str) -> dict[str, bytes]:
    """The files of a project by their path in its folder, the schemas among them. Raises UsageError."""
    from v6flow import loading
    from v6flow.core.words import suggestion
    from v6flow.errors import UsageError

    known = templates()
    if template not in known:
        hint = suggestion(template, known) or f"there are {', '.join(known)}"
        raise UsageError(f"no template {template!r}", hint=hint)
    files = {**_files(TEMPLATES / COMMON), **_files(TEMPLATES / template)}
    for name in loading.SCHEMA_NAMES:
        files[f"schemas/{name}.schema.json"] = loading.schema_text(name).encode()
    return files


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder, all of them or none. Raises UsageError; what is there stays as it is."""
    from v6flow.errors import UsageError

    _check(folder, files)
    made: list[Path] = []
    try:
        for name, content in files.items():
            path = folder / name
            _make_folders(path.parent, made)
            with path.open("xb") as file:  # which, unlike "w", opens nothing that is there
                made.append(path)
                file.write(content)
    except BaseException as error:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, FileExistsError):
            raise _exists(Path(error.filename)) from error
        if isinstance(error, OSError):
            raise UsageError(
                f"{error.filename or folder} cannot be written: {error.strerror}",
                hint="name a folder of your own; nothing is left behind",
            ) from error
        raise


def _list(*, as_json: bool) -> int:
    from v6flow.cli import show

    known = templates()
    if as_json:
        show.write({"templates": [{"name": name, "description": what} for name, what in known.items()]})
        return 0
    width = max(map(len, known))
    show.data("".join(f"{name:<{width}}  {what}\n" for name, what in known.items()))
    return 0


def _files(folder: Path) -> dict[str, bytes]:
    """The files below a folder; what Python compiled there, where the package is installed, is none of them."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _check(folder: Path, files: Mapping[str, bytes]) -> None:
    """Refuse before anything is written, if something is in the way."""
    import os

    wanted = {folder, *folder.parents}
    for name in files:
        path = folder / name
        if os.path.lexists(path):
            raise _exists(path)
        wanted.update(parent for parent in path.parents if parent.is_relative_to(folder))
    for parent in sorted(wanted):
        if os.path.lexists(parent) and not parent.is_dir():
            raise _exists(parent)


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it that are missing, and note them in `made`."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)


def _exists(path: Path) -> Exception:
    from v6flow.errors import UsageError

    return UsageError(
        f"{path} is there already: nothing is written over, and nothing was written",
        hint="name another folder: v6flow init FOLDER",
    )

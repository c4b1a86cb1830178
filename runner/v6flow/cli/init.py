"""Create a project folder with a workflow that runs at once, on three simulated hospitals on this machine.

Existing files are never overwritten. --list shows the templates.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from v6flow.cli.arguments import Parser

TEMPLATES = Path(__file__).parents[1] / "templates"
COMMON = "common"  # the folder with the files of all templates
WORKFLOW = "workflow.yaml"
DEFAULT = "average"
STAGE = ".v6flow-init"  # where files are staged until all are written


def configure(parser: Parser) -> None:
    from v6flow.cli import arguments as common

    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", default=".", help="the project's folder (default: the current folder)"
    )
    parser.add_argument(
        "-t", "--template", metavar="NAME", default=DEFAULT, help=f"the template to use (default: {DEFAULT})"
    )
    parser.add_argument("--list", action="store_true", help="list the templates and write nothing")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import paths
    from v6flow.cli import show
    from v6flow.reporters.terminal import plain

    if arguments.list:
        return _list(as_json=arguments.output == "json")
    files = project(arguments.template)
    folder = paths.expand(arguments.folder)
    write(folder, files)
    if arguments.output == "json":
        show.write({"folder": str(folder), "template": arguments.template, "files": sorted(files)})
        return 0
    show.data("".join(f"{plain(str(folder / name))}\n" for name in sorted(files)))
    here = "" if folder.resolve() == Path.cwd() else f"cd {plain(shlex.quote(str(folder)))} && "
    show.lines([f"next: {here}v6flow run {WORKFLOW}"])
    return 0


def templates() -> dict[str, str]:
    """The templates by name, each with a description of what it computes."""
    from v6flow.core.language import document

    found = {}
    for folder in sorted(TEMPLATES.iterdir()):
        file = folder / WORKFLOW
        if file.is_file():
            found[folder.name] = str(document.parse(file.read_bytes(), str(file)).value["description"])
    return found


def project(template: str) -> dict[str, bytes]:
    """The files of a project, including the schemas, by their path in its folder. Raises UsageError."""
    from v6flow import loading
    from v6flow.core.language.words import suggestion
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
    """Put files into a folder, all of them or none. Raises UsageError; what is there stays as it is.

    A new folder is made beside where it is to be, and comes there by one renaming: killed midway, this leaves no part
    of it. In a folder that is there, files wait in STAGE until all are written; what a kill leaves of putting them
    in their places is completed when the same is asked for again.
    """
    from v6flow.errors import UsageError

    try:
        if folder.is_dir():
            _fill(folder, files)
        else:
            _make(folder, files)
    except FileExistsError as error:
        raise _exists(Path(error.filename)) from error
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror}",
            hint="name a folder that you can write to; no files were left behind",
        ) from error


def _make(folder: Path, files: Mapping[str, bytes]) -> None:
    """Create a folder and its missing parents, with all its files at once."""
    import os
    import shutil
    import tempfile

    if ".." in folder.parts:
        folder = Path(os.path.normpath(folder))
    above = next(parent for parent in folder.parents if os.path.lexists(parent))
    if os.path.lexists(folder) or not above.is_dir():
        raise _there(folder if os.path.lexists(folder) else above)
    missing = folder.relative_to(above)
    stage = Path(tempfile.mkdtemp(prefix=f"{STAGE}-", dir=above))
    try:
        for name, content in files.items():
            path = stage / missing / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        top = missing.parts[0]
        try:
            (stage / top).rename(above / top)
        except OSError as error:  # another process has created it meanwhile
            raise (_there(above / top) if os.path.lexists(above / top) else error) from error
    except OSError as error:  # reported with the final path
        error.filename = error.filename and str(error.filename).replace(str(stage), str(above))
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into an existing folder."""
    import shutil

    stage = folder / STAGE
    files = {name: content for name, content in files.items() if not _is_done(folder, name, content)}
    _check(folder, files)
    shutil.rmtree(stage, ignore_errors=True)  # left by a kill
    made: list[Path] = [stage]
    try:
        stage.mkdir()
        for number, content in enumerate(files.values()):
            (stage / str(number)).write_bytes(content)
        for number, name in enumerate(files):
            path = folder / name
            _make_folders(path.parent, made)
            _place(stage / str(number), path)
            made.append(path)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        for path in reversed(made[1:]):
            path.rmdir() if path.is_dir() else path.unlink()
        raise
    shutil.rmtree(stage, ignore_errors=True)


def _is_done(folder: Path, name: str, content: bytes) -> bool:
    """Whether an earlier, killed command has already put this file there."""
    path = folder / name
    left = (folder / STAGE).is_dir() and path.is_file() and not path.is_symlink()
    return left and path.read_bytes() == content


def _place(file: Path, path: Path) -> None:
    """Move a file to its place atomically. Raises FileExistsError if something is there."""
    import errno
    import os

    try:
        os.link(file, path)  # unlike renaming, this never replaces a file
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(error.errno, error.strerror, str(path)) from error
        if os.path.lexists(path):  # a file system without links
            raise _there(path) from None
        file.rename(path)


def _there(path: Path) -> FileExistsError:
    import errno

    return FileExistsError(errno.EEXIST, "already exists", str(path))


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
    """The files below a folder, without `__pycache__` folders, which an installed package has."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _check(folder: Path, files: Mapping[str, bytes]) -> None:
    """Check that no file is in the way, before anything is written. Raises FileExistsError."""
    import os

    wanted: set[Path] = set()
    for name in files:
        path = folder / name
        if os.path.lexists(path):
            raise _there(path)
        wanted.update(parent for parent in path.parents if parent.is_relative_to(folder))
    for parent in sorted(wanted):
        if os.path.lexists(parent) and not parent.is_dir():
            raise _there(parent)


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Create a folder and its missing parents, and append them to `made`."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)


def _exists(path: Path) -> Exception:
    from v6flow.errors import UsageError

    return UsageError(
        f"{path} already exists: v6flow init overwrites nothing, and nothing was written",
        hint="name another folder: v6flow init FOLDER",
    )

"""Where a function's source is, found without importing it; and digests of what a local step depends on."""

from __future__ import annotations

import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from v6flow import aggregation
from v6flow.core.checks.signatures import Signature, UnknownSignature
from v6flow.local.sources import SourceError, digest, locate, matches, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workflow's folder, in which importing anything would be noticed."""
    (tmp_path / "aggregation.py").write_text("def pool(partials, level=1): ...\n1 / 0\n")
    package = tmp_path / "tools" / "deep"
    package.mkdir(parents=True)
    (tmp_path / "tools" / "__init__.py").write_text("1 / 0\ndef top(): ...\n")
    (package / "__init__.py").write_text("1 / 0\n")
    (package / "sums.py").write_text("def add(a, b): ...\n")
    (tmp_path / "loose" / "inner").mkdir(parents=True)
    (tmp_path / "loose" / "inner" / "part.py").write_text("def one(): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    ("function", "file", "required"),
    [
        ("aggregation.py:pool", "aggregation.py", ("partials",)),
        ("tools/deep/sums.py:add", "tools/deep/sums.py", ("a", "b")),
        ("aggregation:pool", "aggregation.py", ("partials",)),
        ("tools:top", "tools/__init__.py", ()),
        ("tools.deep.sums:add", "tools/deep/sums.py", ("a", "b")),
        ("loose.inner.part:one", "loose/inner/part.py", ()),
    ],
)
def test_functions_beside_the_workflow(folder: Path, function: str, file: str, required: tuple[str, ...]) -> None:
    modules = set(sys.modules)
    located = locate(function, folder)
    assert located.file == folder / file
    assert isinstance(located.signature, Signature)
    assert located.signature.required == required
    assert not {"tools", "loose", "aggregation"} & (set(sys.modules) - modules)


def test_functions_of_installed_packages(folder: Path) -> None:
    located = locate("v6flow.aggregation:pooled_mean", folder)
    assert located.file is not None
    assert located.file.parts[-2:] == ("aggregation", "__init__.py")
    assert isinstance(located.signature, Signature)
    assert located.signature.required == ("partials",)
    assert problems("v6flow.aggregation:pooled_mean", folder, ["partials", "count"]) == []


def test_a_file_written_a_moment_ago_is_found(folder: Path) -> None:
    with pytest.raises(SourceError):
        locate("late:f", folder)
    (folder / "late.py").write_text("def f(): ...\n")
    assert locate("late:f", folder).file == folder / "late.py"


def test_what_has_no_source_is_unknown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate("sys:exit", folder).file is None
    assert isinstance(locate("sys:exit", folder).signature, UnknownSignature)
    archive = folder / "packed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("zipped.py", "def f(a): ...")
    monkeypatch.syspath_prepend(str(archive))
    assert isinstance(locate("zipped:f", folder).signature, UnknownSignature)
    assert problems("zipped:f", folder, ["b"]) == []
    assert digest("zipped:f", folder) != digest("sys:exit", folder)


@pytest.mark.parametrize(
    ("function", "message", "hint"),
    [
        ("agregation.py:pool", "there is no file agregation.py in", "did you mean aggregation.py?"),
        (
            "tools/deep/sum.py:add",
            "there is no file tools/deep/sum.py in",
            "did you mean tools/deep/sums.py?",
        ),
        ("ab.py:pool", "there is no file ab.py in", None),
        ("nowhere/x.py:f", "there is no file nowhere/x.py in", None),
        ("/etc/x.py:f", "/etc/x.py is to be relative to the workflow's folder", None),
        ("aggregation.py:poll", "there is no function poll in aggregation.py", "did you mean pool?"),
        ("aggregation.py:xyz", "there is no function xyz in aggregation.py", "it defines pool"),
        ("agregation:pool", "there is no module agregation", "did you mean aggregation?"),
        ("tools.deep.sum:add", "there is no module tools.deep.sum", "did you mean tools.deep.sums?"),
        ("tools.deep.sums.more:add", "there is no module tools.deep.sums.more", None),
        (
            "no_such_thing:f",
            "there is no module no_such_thing",
            "is the package installed where v6flow runs?",
        ),
        (
            "tools/deep/sums:add",
            "'tools/deep/sums' is no module",
            "a file is named with its .py: tools/deep/sums.py",
        ),
        ("aggregation.py", "'aggregation.py' is no function", "write file.py:name, or package.module:name"),
        (
            "aggregation.py:a.b",
            "'aggregation.py:a.b' is no function",
            "write file.py:name, or package.module:name",
        ),
        (":pool", "':pool' is no function", "write file.py:name, or package.module:name"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(
    folder: Path, function: str, message: str, hint: str | None
) -> None:
    with pytest.raises(SourceError) as caught:
        locate(function, folder)
    assert message in caught.value.message
    assert caught.value.hint is None if hint is None else hint in (caught.value.hint or "")
    assert problems(function, folder, []) == [(caught.value.message, caught.value.hint)]


def test_source_that_is_no_python_is_told_with_its_line(folder: Path) -> None:
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    with pytest.raises(SourceError, match=r"broken\.py is not Python at line 2"):
        locate("broken.py:f", folder)
    (folder / "binary.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"binary\.py is no text that Python reads"):
        locate("binary.py:f", folder)


def test_a_declared_encoding_is_honoured(folder: Path) -> None:
    (folder / "latin.py").write_bytes("# coding: latin-1\ndef f(a='ü'): ...\n".encode("latin-1"))
    assert locate("latin.py:f", folder).signature == Signature("f", optional=("a",))


def test_problems_of_a_call(folder: Path) -> None:
    assert problems("aggregation.py:pool", folder, ["partials"]) == []
    assert problems("aggregation.py:pool", folder, ["partials", "lvel"]) == [
        ("pool takes no argument lvel: did you mean level?", None)
    ]
    assert problems("aggregation.py:pool", folder, None) == []
    (folder / "waits.py").write_text("async def f(a): ...\n")
    [(message, _)] = problems("waits.py:f", folder, None)
    assert "async" in message


def test_a_digest_changes_with_the_function_and_the_files(folder: Path) -> None:
    (folder / "weights.csv").write_text("1,2\n")
    before = digest("aggregation.py:pool", folder, ["*.csv"])
    assert digest("aggregation.py:pool", folder, ["*.csv"]) == before
    assert digest("aggregation.py:pool", folder) != before
    assert digest(None, folder, ["*.csv"]) != before

    (folder / "weights.csv").write_text("1,3\n")
    changed = digest("aggregation.py:pool", folder, ["*.csv"])
    (folder / "weights.csv").rename(folder / "other.csv")
    renamed = digest("aggregation.py:pool", folder, ["*.csv"])
    (folder / "aggregation.py").write_text("def pool(partials, level=1): return 0\n")
    edited = digest("aggregation.py:pool", folder, ["*.csv"])
    assert len({before, changed, renamed, edited}) == 4


def test_a_digest_of_a_function_that_is_built_in_covers_the_modules_beside_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "built_in").mkdir()
    (folder / "built_in" / "__init__.py").write_text("def f(): ...\n")
    (folder / "built_in" / "means.py").write_text("1")
    before = digest("built_in:f", folder)
    monkeypatch.setattr(aggregation, "__file__", str(folder / "built_in" / "__init__.py"))
    built_in = digest("built_in:f", folder)
    (folder / "built_in" / "means.py").write_text("2")
    assert len({before, built_in, digest("built_in:f", folder)}) == 3


def test_a_digest_changes_with_the_scripts_of_a_command(folder: Path) -> None:
    (folder / "model.R").write_text("1")
    before = digest(None, folder, words=["Rscript", "model.R", "--fast"])
    assert digest(None, folder, words=["Rscript", "model.R", "--slow"]) == before, "a word that is no file"
    assert digest(None, folder, words=["Rscript"]) != before
    (folder / "model.R").write_text("2")
    assert digest(None, folder, words=["Rscript", "model.R", "--fast"]) != before


@pytest.mark.parametrize("word", ["", ".", "..", "../x", "/etc/passwd", "a\0b", "tools", "-c"])
def test_words_that_are_no_files_of_the_folder_do_not_count(folder: Path, word: str) -> None:
    assert digest(None, folder, words=[word]) == digest(None, folder)


def test_a_digest_is_the_same_in_another_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("b.py", "a.py"):
        for place in (folder, elsewhere):
            (place / name).write_text("def f(): ...\n")
    assert digest("a.py:f", folder, ["a.py", "b.py"]) == digest("a.py:f", elsewhere, ["b.py", "[ab].py"])


def test_patterns_leave_out_what_changes_by_itself(folder: Path) -> None:
    for inside in (".v6flow/runs/x", "tools/__pycache__/x.pyc", ".git/index"):
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        (folder / inside).write_text("")
    found = [path.relative_to(folder).as_posix() for path in matches(["**/*"], folder)]
    assert found == [
        "aggregation.py",
        "loose/inner/part.py",
        "tools/__init__.py",
        "tools/deep/__init__.py",
        "tools/deep/sums.py",
    ]
    assert matches([], folder) == []


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*.parquet", "nothing matches '\\*.parquet'"),
        ("/etc/passwd", "is to stay in the workflow's folder"),
        ("../x", "is to stay in the workflow's folder"),
        ("", "is to stay in the workflow's folder"),
        ("**x", "nothing matches|cannot be looked for"),
        ("loose", "nothing matches"),
    ],
)
def test_patterns_that_match_nothing_are_refused(folder: Path, pattern: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        matches([pattern], folder)

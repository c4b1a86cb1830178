"""Unpacks the runs that older versions of v6flow have made, in a folder of the test's own."""

from __future__ import annotations

import contextlib
import sqlite3
import tarfile
from pathlib import Path

from v6flow.stores.folder.checkpoint import Checkpoint, CheckpointFile, Mark
from v6flow.stores.folder.rows import link, origin

ARCHIVES = {each.name.removesuffix(".tar.gz"): each for each in Path(__file__).parent.glob("older/format-*.tar.gz")}
"""Each archive by its format; `older/make.py` tells what is in them."""

MADE_IN = "/tmp/v6flow-study"  # the folder's path when the runs were made, which stands in their journals


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a project with runs into a folder, and make their journals name that; the project's folder."""
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # a Python of 2022 has none
        packed.extractall(folder)
    study = folder / "study"
    for path in study.glob(".v6flow/runs/*/journal.sqlite"):
        _move(path, str(study))
    return study


def _move(path: Path, to: str) -> None:
    """Replace the path of the project's folder in a journal; its checksums follow."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (run,) = connection.execute("SELECT run FROM meta").fetchone()
        checksum = origin(run).checksum
        rows = connection.execute("SELECT seq, kind, data, value, file FROM events ORDER BY seq").fetchall()
        for seq, kind, *texts, file in rows:
            data, value = (text and text.replace(MADE_IN, to) for text in texts)
            checksum = link(checksum, kind, data, value, file)
            change = "UPDATE events SET data = ?, value = ?, checksum = ? WHERE seq = ?"
            connection.execute(change, (data, value, checksum, seq))
        connection.execute("UPDATE meta SET checksum = ?", (checksum,))
        connection.commit()
    mark = Mark(len(rows), checksum)
    checkpoint = CheckpointFile(path)
    checkpoint.write(Checkpoint("", mark, mark))
    checkpoint.close()

"""What hospitals have answered is reused by a later run: nothing is created at a real server."""

from __future__ import annotations

from stage_live import ONLINE, Stage

CACHED = """\
steps:
  ask:
    task:
      image: quick
      method: act
      kwargs: {deed: give, value: "{{ organization }}", gate: @gate@, words: ""}
      organizations: [alpha, beta, gamma]
    cache: 1d
outputs: {what: "{{ steps.ask.results }}"}
"""


def test_a_second_run_creates_no_task(quick_encrypted: Stage) -> None:
    quick_encrypted.write(CACHED)
    first, second = (quick_encrypted.run(quick="none") for _ in range(2))
    assert first.code == second.code == 0, (first, second)
    assert second.document["outputs"] == first.document["outputs"] == {"what": [*ONLINE]}
    assert second.document["steps"]["ask"]["reused"]["run"] == first.document["run"]
    assert quick_encrypted.asked() == {f"ask/{name}": ["completed"] for name in ONLINE}
    anew = quick_encrypted.run("--no-cache", quick="none")
    assert anew.code == 0, anew
    assert quick_encrypted.asked() == {f"ask/{name}": ["completed"] * 2 for name in ONLINE}

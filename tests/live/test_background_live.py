"""A run on a real server in the background: its id, its outputs, and the logs of what is still at work."""

from __future__ import annotations

from stage_live import Stage, quick_settings

WORKFLOW = """\
defaults: {image: quick, organizations: [alpha, beta]}
steps:
  ask: {task: {method: @method@, kwargs: @kwargs@}}
outputs: {who: "{{ steps.ask.by_organization }}"}
"""
VALUE = "value: '{{ organization }}', gate: @gate@"


def keep_logs_back(stage: Stage, name: str) -> None:
    """Start an organization's node anew, so that it shares no logs."""
    stage.live.stop_node(name)
    stage.live.start_node(name, **{**vars(quick_settings(stage.live, name)), "share_algorithm_logs": False})


def test_run_detach_wait_and_logs(quick: Stage) -> None:
    keep_logs_back(quick, "beta")
    quick.write(WORKFLOW.replace("@kwargs@", "{" + VALUE + "}"), method="wait")

    begun = quick("run", "w.yaml", "--detach")
    assert begun.code == 0, begun
    assert begun.out == f"{quick.run_id}\n"
    run = quick.run_id
    quick.wait_for({"ask/alpha": ["active"], "ask/beta": ["active"]})

    story = quick.start("logs", "--follow", run)
    live_log = quick.start("logs", "--follow", run, "ask", "alpha")
    waiting = quick.start("wait", "--output", "json", run)
    story.until("ask: asks alpha, beta", on_stdout=True)
    live_log.until("waits at the gate", on_stdout=True)  # while it waits
    kept_back = quick("logs", run, "ask", "beta")
    assert (kept_back.code, kept_back.out) == (0, "")
    assert "its node does not share it" in kept_back.err
    both = quick("logs", run, "ask")
    assert both.out.index("==> alpha <==") < both.out.index("waits at the gate") < both.out.index("==> beta <==")
    assert not any(each.ended for each in (story, live_log, waiting))

    quick.open_gate()
    done = waiting.end()
    assert done.code == 0, done
    assert done.document["outputs"] == {"who": {"alpha": "alpha", "beta": "beta"}}
    told = story.end()
    assert told.code == 0
    assert all(text in told.out for text in ("ask: alpha answered", "ask: beta answered", "run completed"))
    followed = live_log.end()
    assert followed.code == 0
    assert followed.out.count("waits at the gate") == followed.out.count("went through") == 1
    assert quick("logs", run, "ask", "beta").out == ""
    assert quick("wait", run).out == 'who: {"alpha":"alpha","beta":"beta"}\n'


def test_a_crash_at_a_node_that_shares_no_logs(quick: Stage) -> None:
    """It is said that the log is kept back, not that there was none; `wait` ends as the run did."""
    keep_logs_back(quick, "beta")
    quick.write(WORKFLOW.replace("@kwargs@", "{words: bad}"), method="fail")
    assert quick("run", "w.yaml", "--detach").code == 0
    done = quick("wait", "--output", "json")
    assert done.code == 1, done
    failures = done.document["steps"]["ask"]["failures"]
    assert failures["alpha"]["message"] == "ValueError: bad"
    assert "about to fail" in failures["alpha"]["log_tail"]
    assert failures["beta"]["message"] == "the algorithm ended with an error, and its node does not share logs"
    assert failures["beta"]["log_tail"] == ""

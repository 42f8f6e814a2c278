"""The local stack starts, keeps its data, says what is wrong in one line and leaves nothing."""

from local_stack.stack import Stack


def test_both_servers_run_after_start(stack: Stack) -> None:
    """A started stack has both servers running."""
    assert [each.state for each in stack.servers] == ["running", "running"]


def test_settings_point_at_the_test_stack(settings, database, run_script) -> None:
    """A test's settings reach its own database on the session's stack."""
    database.things.insert_one({"_id": "1"})
    assert {"_id": "1"} == database.things.find_one()
    assert settings.topic_prefix == run_script.environment()["TOPIC_PREFIX"]

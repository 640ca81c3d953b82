"""The in-process grid and the client app: faults, time-outs and refusals."""

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedcc.federation import flower_compat
from fedcc.federation.grid import FIRST_NODE, InProcessGrid
from fedcc.federation.messages import Parcel


def app_that(behave: Callable[[Message], Parcel]) -> ClientApp:
    app = ClientApp()

    @app.query("upload")
    def handle(message: Message, context: Context) -> Message:
        return Message(behave(message).to_record(), reply_to=message)

    return app


def messages(count: int) -> list[Message]:
    content = Parcel({"round": 1}, {"update": [b"abc", b"\x00" * 10]}).to_record()
    return [Message(content, FIRST_NODE + i, "query.upload") for i in range(count)]


@pytest.mark.parametrize("isolate", [False, True])
def test_a_parcel_arrives_as_it_was_sent(isolate: bool) -> None:
    grid = InProcessGrid(app_that(lambda m: Parcel.from_record(m.content)), 2, isolate=isolate)

    replies = grid.send_and_receive(messages(2), timeout=5)

    parcels = [Parcel.from_record(reply.content) for reply in replies]
    assert parcels == [Parcel({"round": 1}, {"update": [b"abc", b"\x00" * 10]})] * 2


def test_a_site_that_raises_is_an_error_reply_without_its_text() -> None:
    def fail(message: Message) -> Parcel:
        raise RuntimeError("/data/site.csv row 7: Maria")

    [reply] = InProcessGrid(app_that(fail), 1).send_and_receive(messages(1), timeout=5)

    assert not reply.has_content()
    assert "Maria" not in str(reply.error)


def test_a_reply_after_the_time_out_is_thrown_away() -> None:
    ticks = iter([0.0, 1.0, 9.0])
    grid = InProcessGrid(app_that(lambda m: Parcel({})), 2, clock=lambda: next(ticks))

    replies = grid.send_and_receive(messages(2), timeout=5)

    assert len(replies) == 1


def test_an_offline_site_does_not_answer() -> None:
    grid = InProcessGrid(app_that(lambda m: Parcel({})), 2, offline=lambda i, m: i == 1)

    assert len(grid.send_and_receive(messages(2), timeout=5)) == 1


def test_a_message_is_built_only_inside_a_run_and_flower_s_calls_home_are_off() -> None:
    import os

    flower_compat.enter_run()

    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert os.environ["FLWR_DISABLE_UPDATE_CHECK"] == "1"


@pytest.mark.parametrize(
    "fields", [{"flag": True}, {"share": 0.5}, {"list": [1, 2]}], ids=["bool", "float", "list"]
)
def test_a_field_of_another_type_is_refused(fields: dict[str, Any]) -> None:
    from flwr.app import ConfigRecord, RecordDict

    from fedcc.errors import ProtocolError

    with pytest.raises(ProtocolError):
        Parcel.from_record(RecordDict({"fields": ConfigRecord(fields)}))

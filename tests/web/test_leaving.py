"""Who waits is told that the caller has left, by the connection or by `receive`; and once the wait is over, no more."""

import asyncio
from typing import Any

from appliance.web.leaving import CONNECTION, Connection, Leaving


async def never() -> Any:
    await asyncio.Event().wait()


def test_a_connection_tells_all_who_wait_that_it_is_lost() -> None:
    async def waits() -> None:
        connection, told = Connection(), []
        scope = {"state": {CONNECTION: connection}}
        with Leaving(scope, never, lambda: told.append(1)) as first, Leaving(scope, never, lambda: told.append(2)):
            assert not first.left
            connection.lose()
            assert first.left
        assert sorted(told) == [1, 2]
        assert not connection.tells

    asyncio.run(waits())


def test_a_connection_that_was_lost_before_tells_at_once() -> None:
    async def waits() -> None:
        connection, told = Connection(), []
        connection.lose()
        with Leaving({"state": {CONNECTION: connection}}, never, lambda: told.append(1)) as leaving:
            assert leaving.left
        assert told == [1]

    asyncio.run(waits())


def test_who_has_stopped_waiting_is_told_nothing() -> None:
    async def waits() -> None:
        connection, told = Connection(), []
        with Leaving({"state": {CONNECTION: connection}}, never, lambda: told.append(1)):
            pass
        connection.lose()
        assert told == []

    asyncio.run(waits())


def test_without_a_connection_the_messages_tell() -> None:
    async def waits() -> None:
        messages = [{"type": "http.request"}, {"type": "http.disconnect"}]
        left = asyncio.Event()

        async def receive() -> Any:
            return messages.pop(0)

        with Leaving({}, receive, left.set) as leaving:
            assert not leaving.left
            await asyncio.wait_for(left.wait(), 10)
            assert leaving.left
        with Leaving({"state": {}}, never, left.set) as leaving:
            await asyncio.sleep(0)
            assert not leaving.left
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1, "nobody waits for messages any more"

    asyncio.run(waits())

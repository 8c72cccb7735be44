"""What the trainer changes of Ray Train's, and when a job lets go of it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading

import pytest

from nn_train.training import trainer


def test_a_controller_runs_where_an_event_loop_runs_already():
    async def inner(seen):
        await asyncio.sleep(0)
        seen.append(asyncio.get_running_loop())

    async def outer():
        seen = [asyncio.get_running_loop()]
        trainer.run_here(inner(seen))
        seen.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return seen

    first, within, after = asyncio.run(outer())
    assert first is after
    assert within is not first


@pytest.fixture
def interruptible():
    """This process is interrupted as one that a person started: a lane's ignores it."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, kept)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_reaches_who_waits_and_leaves_nothing(caplog, waits):
    ended = []

    async def work():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            if waits:
                await asyncio.sleep(3600)
            await asyncio.sleep(0)
            threading.Event().wait(3600)  # as ``ray.get`` does, which knows nothing of the loop
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        trainer.run_here(work())
    gc.collect()
    assert ended == [True]
    assert not caplog.records  # of a task that was destroyed while it was pending

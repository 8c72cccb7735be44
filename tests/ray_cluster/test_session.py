"""What happens to an interrupt while Ray starts."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from nn_train.ray_cluster.session import interrupted_afterwards


@pytest.fixture
def handler(request: pytest.FixtureRequest) -> Iterator[None]:
    kept = signal.signal(signal.SIGINT, request.param)
    yield
    assert signal.getsignal(signal.SIGINT) is request.param
    signal.signal(signal.SIGINT, kept)


@pytest.mark.parametrize("handler", [signal.default_int_handler], indirect=True)
@pytest.mark.usefixtures("handler")
def test_an_interrupt_is_raised_once_what_must_not_be_interrupted_is_done() -> None:
    done = []

    @interrupted_afterwards()
    def work(fails: bool) -> None:
        signal.raise_signal(signal.SIGINT)
        if fails:
            raise ValueError("its own error says more")
        done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work(False)
    with pytest.raises(ValueError, match="its own"):
        work(True)
    assert done == ["all of it"]
    with interrupted_afterwards():
        done.append("nothing came")

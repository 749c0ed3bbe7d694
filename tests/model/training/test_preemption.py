import concurrent.futures
import os
import signal

import pytest

from model.training.preemption import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_remembered_and_the_handler_comes_back(number):
    before = signal.getsignal(number)
    with StopRequest() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_stops_at_once_and_a_second_hangup_does_not():
    with StopRequest() as asked:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_hangup_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_off_the_main_thread_training_goes_on_without_handlers(caplog):
    caplog.set_level("INFO")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        before = signal.getsignal(signal.SIGTERM)

        def enter():
            with StopRequest() as asked:
                return asked(), signal.getsignal(signal.SIGTERM)

        assert pool.submit(enter).result() == (False, before)
    assert "off the main thread" in caplog.text

import os
import signal
import threading

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


def test_outside_the_main_thread_a_log_line_says_that_no_signal_is_heard(caplog):
    before, answers = signal.getsignal(signal.SIGTERM), []

    def ask():
        with StopRequest() as asked:
            answers.append((asked(), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert answers == [(False, before)]
    assert "outside the main thread: SIGTERM and Ctrl-C do not save" in caplog.text

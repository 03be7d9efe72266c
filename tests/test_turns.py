"""Turns: one thread after the other, and a child process is not stopped by a thread that it lacks."""

import os
import threading
import time

import pytest

from irp_hf.turns import Turns


def test_one_thread_after_the_other():
    """If it fails, two loads change the state of the process at once and undo it in the wrong order."""
    turns, inside, most = Turns(), [], []

    def work():
        for _ in range(20):
            with turns.taken(), turns.taken():  # as a load within a load
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_lacks():
    """If it fails, a worker process forked while a model loads hangs for ever at its first load."""
    turns, entered, leave = Turns(), threading.Event(), threading.Event()

    def hold():
        with turns.taken():
            entered.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(10)
    child = os.fork()
    if not child:
        with turns.taken():
            os._exit(7)
    leave.set()
    holder.join()
    for _ in range(400):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits")
    assert os.waitstatus_to_exitcode(status) == 7

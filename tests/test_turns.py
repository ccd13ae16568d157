"""Places for those who compute: bounded, and taken in the order in which callers came."""

import threading
import time

from appliance.turns import Turns


def test_no_more_than_the_places_and_in_the_order_of_coming() -> None:
    turns, order, inside, most = Turns(2), [], [0], [0]
    lock = threading.Lock()
    assert turns.take(0)
    assert turns.take(0)

    def work(number: int) -> None:
        assert turns.take(30)
        with lock:
            order.append(number)
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.005)
        with lock:
            inside[0] -= 1
        turns.give_back()

    threads = []
    for number in range(10):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        while len(turns._waiting) <= number:
            time.sleep(0.001)
    turns.give_back()
    turns.give_back()
    for thread in threads:
        thread.join()
    assert most[0] == 2
    assert sorted(order) == list(range(10))
    assert all(abs(place - number) <= 1 for place, number in enumerate(order))  # two run beside each other


def test_who_waits_too_long_goes_without_and_loses_no_place() -> None:
    turns = Turns(1)
    assert turns.take(0)
    assert not turns.take(0.01)
    assert not turns.take(-1)
    turns.give_back()
    assert turns.take(0)
    turns.give_back()

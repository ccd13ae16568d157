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


def test_who_needs_two_places_waits_for_both_and_is_passed_by_nobody() -> None:
    turns, order = Turns(2), list[str]()
    assert turns.take(0)

    def work(name: str, places: int) -> None:
        assert turns.take(30, places)
        order.append(name)
        turns.give_back(places)

    threads = []
    for waiting, (name, places) in enumerate((("both", 2), ("one", 1)), 1):
        threads.append(threading.Thread(target=work, args=(name, places)))
        threads[-1].start()
        while len(turns._waiting) < waiting:
            time.sleep(0.001)
    assert not turns.take(0.01, 5)  # of more than there are, all
    turns.give_back()
    for thread in threads:
        thread.join()
    assert order == ["both", "one"]
    assert turns.take(0, 5)
    assert not turns.take(0)


def test_when_who_needs_much_gives_up_those_behind_come_in() -> None:
    turns = Turns(2)
    assert turns.take(0)
    gone, came = threading.Event(), threading.Event()

    def wait(seconds: float, places: int, expected: bool, seen: threading.Event) -> None:
        if turns.take(seconds, places) is expected:
            seen.set()

    much = threading.Thread(target=wait, args=(0.3, 2, False, gone))
    much.start()
    while not turns._waiting:
        time.sleep(0.001)
    little = threading.Thread(target=wait, args=(30, 1, True, came))
    little.start()
    little.join()
    much.join()
    assert gone.is_set()
    assert came.is_set()

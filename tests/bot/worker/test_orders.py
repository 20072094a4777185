"""What a painter is handed: orders in their order, controls for the order before them."""

import threading

from bot.worker.orders import Control, Inbox, Steer
from tests.bot.conftest import make_order


def test_orders_come_out_as_they_went_in_and_none_is_the_last(ask):
    inbox, orders = Inbox(), [make_order(ask(), attempt=attempt) for attempt in (1, 2)]
    for order in orders:
        inbox.put(order)
    inbox.put(None)
    got = [inbox.get() for _ in range(3)]
    assert [one and one[0] for one in got] == [*orders, None]
    first, second = (one[1] for one in got if one)
    assert first is not second
    assert (first.preview_wanted, first.steer, first.end) == (True, None, ""), "the first preview is wanted unasked"


def test_a_control_is_for_the_latest_order_and_only_if_it_names_it(ask):
    inbox, steer = Inbox(), Steer((), {"a.png": b""})
    inbox.put(Control("abcdefgh", "end", "drop"))
    inbox.put(make_order(ask()))
    inbox.put(Control("zzzzzzzz", "end", "drop"))
    inbox.put(Control("abcdefgh", "steer", steer))
    inbox.put(Control("abcdefgh", "preview_wanted", False))
    got = inbox.get()
    assert got is not None
    controls = got[1]
    assert (controls.end, controls.steer, controls.preview_wanted) == ("", steer, False)
    inbox.put(Control("abcdefgh", "end", "keep"))
    assert controls.end == "keep", "also while it is being painted"
    inbox.put(make_order(ask(), attempt=2))
    inbox.put(Control("abcdefgh", "end", "leave"))
    later = inbox.get()
    assert later is not None
    assert (controls.end, later[1].end) == ("keep", "leave")


def test_who_asks_for_an_order_waits_for_it(ask):
    inbox, got = Inbox(), []
    thread = threading.Thread(target=lambda: got.append(inbox.get()))
    thread.start()
    order = make_order(ask())
    inbox.put(order)
    thread.join(10)
    assert got[0][0] is order

"""The pace of edits in each channel."""

import pytest

from bot.chat.edit_rate import EditRate


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_channel_is_edited_once_in_an_interval(clock):
    edit_rate = EditRate(3.0, clock)
    assert edit_rate.wait(1) == 0
    edit_rate.edited(1, active=1)
    assert edit_rate.wait(1) == 3.0
    assert edit_rate.wait(2) == 0
    clock.now += 3
    assert edit_rate.wait(1) == 0


def test_several_jobs_share_the_pace_of_their_channel(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.edited(1, active=4)
    assert edit_rate.wait(1) == 12.0


def test_refusals_double_the_wait_and_successes_shorten_it_again(clock):
    edit_rate = EditRate(3.0, clock)
    waits = []
    for _ in range(3):
        edit_rate.refused(1)
        waits.append(edit_rate.wait(1))
    assert waits == [6.0, 12.0, 24.0]
    for _ in range(20):
        edit_rate.edited(1, active=1)
    assert edit_rate.wait(1) == 3.0


def test_what_discord_asks_for_is_kept_and_the_wait_has_an_end(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.refused(1, retry_after=50)
    assert edit_rate.wait(1) == 50
    for _ in range(20):
        edit_rate.refused(1)
    assert edit_rate.wait(1) == 60


def test_an_edit_out_of_turn_puts_the_next_turn_off(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.edited(1, active=1)
    edit_rate.edited_out_of_turn(1)
    assert edit_rate.wait(1) == 6.0
    clock.now += 60
    edit_rate.edited_out_of_turn(1)
    assert edit_rate.wait(1) == 3.0


def test_nothing_is_edited_out_of_turn_while_a_refusal_is_waited_out(clock):
    edit_rate = EditRate(3.0, clock)
    assert edit_rate.may_edit_out_of_turn(1)
    edit_rate.refused(1)
    assert not edit_rate.may_edit_out_of_turn(1)
    clock.now += 6
    assert edit_rate.may_edit_out_of_turn(1)


def test_one_success_shortens_the_wait_by_a_fifth(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.refused(1)
    edit_rate.edited(1, active=1)
    assert edit_rate.wait(1) == pytest.approx(4.8)
    edit_rate.edited(1, active=2)
    assert edit_rate.wait(1) == pytest.approx(2 * 3.84)


def test_the_wait_falls_as_time_goes_by_and_never_below_nothing(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.edited(1, active=1)
    waits = []
    for _ in range(4):
        clock.now += 1
        waits.append(edit_rate.wait(1))
    assert waits == [2.0, 1.0, 0.0, 0.0]


def test_a_channel_without_jobs_is_still_paced(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.edited(1, active=0)
    assert edit_rate.wait(1) == 3.0


def test_each_channel_has_its_own_pace_and_a_forgotten_one_begins_anew(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.refused(1)
    edit_rate.edited(2, active=1)
    assert (edit_rate.wait(1), edit_rate.wait(2)) == (6.0, 3.0)
    assert edit_rate.may_edit_out_of_turn(2)
    edit_rate.forget(1)
    edit_rate.forget(3)
    assert (edit_rate.wait(1), edit_rate.wait(2)) == (0.0, 3.0)


def test_an_edit_out_of_turn_after_a_refusal_waits_the_longer_interval_too(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.refused(1)
    edit_rate.edited_out_of_turn(1)
    assert edit_rate.wait(1) == 12.0


def test_a_refusal_that_names_no_time_is_waited_out_by_the_interval_alone(clock):
    edit_rate = EditRate(0.25, clock)
    edit_rate.refused(1)
    assert edit_rate.wait(1) == 0.5

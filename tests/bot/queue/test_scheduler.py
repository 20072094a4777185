"""Whose turn it is, and what waiting costs."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bot.jobs import cost_key
from bot.queue.preferences import WHOLE_PROCESS
from bot.queue.scheduler import Waiting, fair_order, places, startable
from tests.bot.conftest import make_job

COST_KEY = "embedded 128x128 embedded 8"


def waiting(*names, guild_id: int | None = 5, kind="imagine", steps=100, cost_key=COST_KEY):
    return [Waiting(name, ord(name[0]), guild_id, kind, steps, cost_key) for name in names]


def test_users_take_turns_by_their_oldest_job():
    order = fair_order(waiting("A1", "A2", "B1", "C1", "C2", "A3"), {})
    assert [job.job_id for job in order] == ["A1", "B1", "C1", "A2", "C2", "A3"]


def test_who_was_served_last_waits_longest():
    order = fair_order(waiting("A1", "A2", "B1", "C1"), {ord("A"): 9, ord("B"): 8})
    assert [job.job_id for job in order] == ["C1", "B1", "A1", "A2"]


queues = st.lists(st.sampled_from("ABCDE"), max_size=40).map(
    lambda users: waiting(*(f"{user}{n:02}" for n, user in enumerate(users)))
)


@given(queues, st.dictionaries(st.sampled_from([ord(user) for user in "ABCDE"]), st.integers(0, 20)))
def test_nobody_is_served_twice_while_another_waits(queue, served):
    order = fair_order(queue, served)
    assert Counter(job.job_id for job in order) == Counter(job.job_id for job in queue)
    for user in "ABCDE":
        own = [job.job_id for job in order if job.job_id[0] == user]
        assert own == sorted(own)
    for place, job in enumerate(order):
        later = {other.user_id for other in order[place:]}
        since = next((i for i in range(place - 1, -1, -1) if order[i].user_id == job.user_id), None)
        if since is not None:
            between = {other.user_id for other in order[since + 1 : place]}
            assert later - {job.user_id} <= between


@given(queues, st.integers(0, 40))
def test_the_order_does_not_change_while_it_is_followed(queue, count):
    order = fair_order(queue, {})
    served, rest = {}, list(queue)
    for turn, job in enumerate(order[:count]):
        served[job.user_id] = turn
        rest.remove(job)
    assert fair_order(rest, served) == order[count:]


def test_paused_guilds_wait():
    queue = waiting("A1") + waiting("B1", guild_id=6) + waiting("C1", guild_id=None)
    assert [job.job_id for job in startable(queue, {5})] == ["B1", "C1"]
    assert startable(queue, {WHOLE_PROCESS}) == []


def test_waiting_times_add_up_and_films_keep_nobody_waiting(ask):
    running = make_job(ask())
    queue = waiting("A1") + waiting("B1", kind="timelapse") + waiting("C1")
    lines = places([(running, 30.0)], queue, {COST_KEY: 0.5})
    assert [(line.estimate.position, line.estimate.seconds) for line in lines] == [
        (0, 0.0),
        (1, 30.0),
        (2, 80.0),
        (3, 80.0),
    ]


def test_each_place_is_its_jobs_own(ask):
    running = make_job(ask(user_id=7), id="running2")
    lines = places([(running, 30.0)], waiting("A1", guild_id=None), {})
    assert [(line.job_id, line.user_id, line.guild_id) for line in lines] == [
        ("running2", 7, 5),
        ("A1", ord("A"), None),
    ]
    assert places([], [], {}) == []


def test_the_time_left_falls_with_every_step(ask):
    """Where the painter has not reported it yet, as after a restart."""
    key = cost_key(ask().spec)
    left = [places([(make_job(ask(), step=step), None)], waiting("A1"), {key: 0.5}) for step in (0, 2, 6)]
    assert [line[0].estimate.painting for line in left] == [3.0, 2.0, 0.0]
    assert [line[1].estimate.seconds for line in left] == [3.0, 2.0, 0.0]


def test_what_the_painter_says_of_the_time_left_counts_more_than_a_guess(ask):
    key = cost_key(ask().spec)
    assert places([(make_job(ask()), 9.0)], [], {key: 0.5})[0].estimate.painting == 9.0
    assert places([(make_job(ask()), 0.0)], [], {key: 0.5})[0].estimate.painting == 0.0


def test_behind_a_job_of_unknown_length_nothing_is_promised(ask):
    other = "imagenet-16384 128x128 embedded 8"
    lines = places([(make_job(ask()), None)], waiting("A1", "B1", cost_key=other), {other: 0.5})
    assert [(line.estimate.seconds, line.estimate.painting) for line in lines] == [
        (0.0, None),
        (None, 50.0),
        (None, 50.0),
    ]
    mixed = waiting("A1", cost_key=other) + waiting("B1")
    assert [line.estimate.seconds for line in places([], mixed, {COST_KEY: 0.5})] == [0.0, None]


def test_a_pace_is_guessed_by_what_grows_most_pixels_or_cutouts():
    def guess(key, times):
        return places([], waiting("A1", cost_key=key), times)[0].estimate.painting

    assert guess("embedded 128x128 embedded 32", {COST_KEY: 0.5}) == 100 * 0.5 * 4
    assert guess("embedded 256x128 embedded 32", {COST_KEY: 0.5}) == 100 * 0.5 * 4
    assert guess("embedded 256x256 embedded 16", {COST_KEY: 0.5}) == 100 * 0.5 * 4
    assert guess("embedded 128x128 embedded 8", {"embedded 256x256 embedded 8": 2.0}) == 100 * 2.0
    assert guess(
        "embedded 64x64 embedded 8", {"embedded 128x128 embedded 8": 1.0, "embedded 64x32 embedded 8": 1.0}
    ) == (100 * (1.0 + 2.0) / 2)


def test_an_unmeasured_size_is_guessed_from_its_generators_others():
    larger = waiting("A1", cost_key="embedded 256x256 embedded 8")
    assert places([], larger, {COST_KEY: 0.5})[0].estimate.painting == 100 * 0.5 * 4
    other = waiting("A1", cost_key="imagenet-16384 128x128 embedded 8")
    assert places([], other, {COST_KEY: 0.5})[0].estimate.painting is None


def test_with_several_painters_each_job_goes_to_the_one_that_is_free_first(ask):
    running = [(make_job(ask(), id="running1"), 30.0), (make_job(ask(), id="running2"), 70.0)]
    queue = waiting("A1", steps=100) + waiting("B1", steps=20) + waiting("C1")
    lines = places(running, queue, {COST_KEY: 0.5}, painters=2)
    assert [(line.estimate.position, line.estimate.seconds) for line in lines] == [
        (0, 0.0),
        (0, 0.0),
        (1, 30.0),  # until 80
        (2, 70.0),  # until 80
        (3, 80.0),
    ]
    assert places([], waiting("A1") + waiting("B1"), {COST_KEY: 0.5}, painters=2)[1].estimate.seconds == 0.0


def test_a_painter_of_whom_nothing_is_known_keeps_nobody_from_the_other(ask):
    running = [(make_job(ask(), id="running1"), 30.0)]
    unknown = waiting("A1", cost_key="imagenet-16384 128x128 embedded 8")
    lines = places(running, unknown + waiting("B1") + waiting("C1"), {COST_KEY: 0.5}, painters=2)
    assert [line.estimate.seconds for line in lines] == [0.0, 0.0, 30.0, 80.0]
    assert places([], unknown + waiting("B1"), {COST_KEY: 0.5})[1].estimate.seconds is None

"""UserActivity against loops over one user's events."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from features.user import UserActivity
from tests.features.logs import assert_block_equals, queries, worlds
from tests.features.oracle import user_features


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_events(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        return user_features(world, user)

    assert_block_equals(UserActivity(), oracle, world, query)

"""Bytes and back: equal bit for bit, now and after more events; anything else is refused."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.embedding import HashEmbedding
from learner.errors import SnapshotIncompatible
from learner.features import Features
from learner.snapshot import SCHEMA, checksum, dump, load
from learner.state import LearnerState
from learner.types import Decision, Limits
from tests.learner.conftest import NOON_S, SEEDS, TEXTS, called, context, features, served, state, traffic


def experienced(seed: int = 1, n: int = 50) -> LearnerState:
    learner = state()
    for event, at_s in traffic(seed, n):
        learner.apply(event, at_s)
    return learner


BODY = dump(experienced())


def decisions(learner: LearnerState) -> list[Decision]:
    view, rng = learner.view(), np.random.default_rng(5)
    return [view.decide(context(text), Limits(), rng) for text in TEXTS]


@pytest.mark.parametrize("n", [0, 1, 7, 50, 130])
def test_a_loaded_state_decides_and_learns_on_bit_for_bit(n: int) -> None:
    learner = experienced(n=n)
    loaded = load(dump(learner), features())
    assert dump(loaded) == dump(learner)
    assert decisions(loaded) == decisions(learner)
    for event, at_s in traffic(seed=9, n=60):
        learner.apply(event, at_s + 1e6)
        loaded.apply(event, at_s + 1e6)
    assert dump(loaded) == dump(learner)
    assert decisions(loaded) == decisions(learner)


def test_a_loaded_state_compares_the_same_arms() -> None:
    learner = experienced()
    views = learner.view(), load(dump(learner), features()).view()
    chosen = [[v.shadows(context(t), Limits(), ["small"], np.random.default_rng(1)) for t in TEXTS] for v in views]
    assert chosen[0] == chosen[1]


def test_a_state_without_arms_survives() -> None:
    empty = state(())
    assert dump(load(dump(empty), features())) == dump(empty)


def test_a_new_category_survives() -> None:
    learner = experienced()
    far = np.eye(24)[0] * -9.0
    for _ in range(70):
        learner.taxonomy = learner.taxonomy.grow(far, 0.0)
    learner._make_room(len(learner.taxonomy.names))
    again = load(dump(learner), features())
    assert again.taxonomy.names == learner.taxonomy.names
    event = served(called("small", 0, 0), called("large", 1, 0), name="later")
    for one in (learner, again):
        one.apply(event, NOON_S)
    assert dump(again) == dump(learner)


def test_a_snapshot_of_other_features_is_refused() -> None:
    with pytest.raises(SnapshotIncompatible, match="features"):
        load(BODY, Features(HashEmbedding(size=64), SEEDS))


def test_a_snapshot_of_another_schema_is_refused() -> None:
    with np.load(io.BytesIO(BODY)) as stored:
        arrays = dict(stored)
    manifest = json.loads(arrays.pop("manifest").tobytes()) | {"schema": SCHEMA + 1}
    buffer = io.BytesIO()
    np.savez(buffer, manifest=np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays)
    with pytest.raises(SnapshotIncompatible, match=f"schema {SCHEMA + 1}"):
        load(buffer.getvalue(), features())


def test_what_is_no_snapshot_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, something=np.zeros(3))
    pickled = io.BytesIO()
    np.savez(pickled, manifest=np.array([{"schema": SCHEMA}], dtype=object))
    for body in (b"", b"no snapshot", buffer.getvalue(), pickled.getvalue()):
        with pytest.raises(SnapshotIncompatible, match="cannot be read"):
            load(body, features())


@settings(max_examples=40)
@given(st.integers(0, len(BODY) - 1))
def test_a_snapshot_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(SnapshotIncompatible):
        load(BODY[:length], features())


@settings(max_examples=40)
@given(st.integers(0, len(BODY) - 1))
def test_a_damaged_byte_is_refused_or_harmless(at: int) -> None:
    damaged = BODY[:at] + bytes([BODY[at] ^ 0xFF]) + BODY[at + 1 :]
    try:
        restored = load(damaged, features())
    except SnapshotIncompatible:
        return
    assert dump(restored) == BODY


def test_a_checksum_tells_snapshots_apart() -> None:
    assert checksum(BODY) == checksum(bytes(BODY)) != checksum(BODY + b" ")

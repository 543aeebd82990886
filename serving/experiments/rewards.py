"""The logged answers of an experiment with their rewards, as arrays."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names
from core.errors import DataError
from serving.experiments.estimators import Log
from serving.experiments.settings import Experiment
from serving.stores.store import Store

DAY_S = 86_400


@dataclass(frozen=True)
class Answers:
    """N answers of an experiment, which showed S items to U users.

    Args:
      users: [U] ids.
      items: [I] the ids of all items that were shown.
      user: [N] the number of the user in `users`.
      arm: [N] the number of the arm.
      time: [N] timestamps, ascending.
      propensity: [N] the probability with which the arm was chosen.
      asked: [N, 2] the number of items that the request asked for, and its offset.
      answer: [S] the number of the answer that showed an item.
      item: [S] the number of the item in `items`.
    """

    users: pa.Array
    items: pa.Array
    user: np.ndarray
    arm: np.ndarray
    time: np.ndarray
    propensity: np.ndarray
    asked: np.ndarray
    answer: np.ndarray
    item: np.ndarray


@dataclass(frozen=True)
class Events:
    """E events with items that their user was shown at any time, by numbers as in Answers.

    Args:
      user, item, time: [E] the numbers of user and item, and the timestamp.
      before: [U] the number of each user's events before the first answer to the user, with any items.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    before: np.ndarray


def log(store: Store, experiment: Experiment, within: int = DAY_S) -> Log:
    """Return the answers of an experiment with their rewards.

    The reward of an answer is the number of its items that the user had an event with, at the time of the answer or up
    to `within` seconds later. An event counts for the latest answer before it that showed its item.

    Raises:
      DataError: an answer has an arm that the experiment does not have, or a wrong propensity.
    """
    answers = read_answers(store, experiment)
    events = read_events(store, answers, within)
    features = np.column_stack([events.before[answers.user], answers.asked])
    return Log(answers.user, answers.arm, answers.propensity, rewards(answers, events, within), np.log1p(features))


def read_answers(store: Store, experiment: Experiment) -> Answers:
    """Return the logged answers of an experiment. Raises: DataError."""
    columns: dict[str, list[np.ndarray]] = {}
    users, items, labels, before = [], [], pa.array(experiment.labels), 0
    for part in store.answer_parts():
        own = part.filter(pc.fill_null(pc.equal(part["experiment"], experiment.name), False))
        _check(own, experiment)
        shown = own["items"].combine_chunks()
        found = {
            "arm": pc.index_in(own["arm"], labels).to_numpy().astype(np.int64),
            "time": own[names.TIMESTAMP].to_numpy(),
            "propensity": own["propensity"].to_numpy(),
            "asked": np.column_stack([pc.fill_null(own[name], 0).to_numpy() for name in ("k", "offset")]),
            "answer": before + np.repeat(np.arange(len(own)), shown.value_lengths().to_numpy()),
        }
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
        users.append(own[names.USER_ID].combine_chunks().dictionary_encode())
        items.append(shown.flatten().dictionary_encode())
        before += len(own)
    if not before:
        raise DataError(
            "the store", f"experiment {experiment.name}", "has no logged answers", "Serve with --experiment first"
        )
    user, user_ids = _numbers(users)
    item, item_ids = _numbers(items)
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Answers(users=user_ids, items=item_ids, user=user, item=item, **arrays)


def read_events(store: Store, answers: Answers, within: int) -> Events:
    """Return the events that can count for the answers, up to `within` seconds after the last one to their user."""
    first = np.full(len(answers.users), np.iinfo(np.int64).max)
    last = np.full(len(answers.users), np.iinfo(np.int64).min)
    np.minimum.at(first, answers.user, answers.time)
    np.maximum.at(last, answers.user, answers.time)
    before = np.zeros(len(answers.users), np.int64)
    parts = [np.zeros((3, 0), np.int64)]
    for part in store.event_parts():
        user, item = (
            pc.fill_null(pc.index_in(part[name], ids), -1).to_numpy().astype(np.int64)
            for name, ids in ((names.USER_ID, answers.users), (names.ITEM_ID, answers.items))
        )
        time, known = part[names.TIMESTAMP].to_numpy(), user >= 0
        early = known & (time < first[user])
        before += np.bincount(user[early], minlength=len(before))
        kept = known & ~early & (item >= 0) & (time <= last[user] + within)
        parts.append(np.stack([user[kept], item[kept], time[kept]]))
    user, item, time = np.concatenate(parts, axis=1)
    return Events(user, item, time, before)


def rewards(answers: Answers, events: Events, within: int) -> np.ndarray:
    """Return [N] the number of shown items of each answer that an event counts for."""
    n_items, shown = max(len(answers.items), 1), len(answers.item)
    pair = np.concatenate([answers.user[answers.answer] * n_items + answers.item, events.user * n_items + events.item])
    time = np.concatenate([answers.time[answers.answer], events.time])
    # By user and item, then by time; of the same second what was shown comes first, in the order of the answers.
    order = np.lexsort((np.arange(len(pair)) >= shown, time, pair))
    is_shown = order < shown
    latest = np.maximum.accumulate(np.where(is_shown, np.arange(len(order)), -1))[~is_shown]
    event, row = order[~is_shown], order[latest]
    counts = (latest >= 0) & (pair[row] == pair[event]) & (time[event] - time[row] <= within)
    return np.bincount(answers.answer[np.unique(row[counts])], minlength=len(answers.user)).astype(float)


def _check(answers: pa.Table, experiment: Experiment) -> None:
    """Check that answers have an arm of the experiment and its propensity. Raises: DataError."""
    known = pc.fill_null(pc.is_in(answers["arm"], pa.array(experiment.labels)), False)
    right = pc.fill_null(pc.and_(pc.greater(answers["propensity"], 0), pc.less_equal(answers["propensity"], 1)), False)
    for good, name, expected in (
        (known, "arm", f"one of {', '.join(experiment.labels)}"),
        (right, "propensity", "above 0 and at most 1"),
    ):
        wrong = answers.filter(pc.invert(good))
        if len(wrong):
            row = wrong.slice(0, 1).to_pylist()[0]
            raise DataError(
                "the store",
                f"answer {row['request_id']}",
                f"{name} of the experiment {experiment.name} should be {expected}; found {row[name]!r}",
                "Give the file that the server had, or another name to another experiment",
            )


def _numbers(parts: list[pa.DictionaryArray]) -> tuple[np.ndarray, pa.Array]:
    """Return the numbers of the values of all parts, and the distinct values, which the numbers are positions of."""
    together = pa.chunked_array(parts).unify_dictionaries()
    numbers = np.concatenate([chunk.indices.to_numpy() for chunk in together.chunks]).astype(np.int64)
    return numbers, together.chunk(0).dictionary

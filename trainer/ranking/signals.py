"""The names of the signals that a ranker computes, and a check that no feature has such a name. No TensorFlow here."""

from collections.abc import Iterable

from transform.features import Features, raw_columns, timestamp_columns
from transform.names import outputs

# Signals of a candidate, from the events with this candidate in the history.
TIMES_IN_HISTORY = "times_in_history"
EVENTS_SINCE_INTERACTION = "events_since_interaction"  # the number of events after the latest with the candidate
DAYS_SINCE_INTERACTION = "days_since_interaction"  # from the latest event with the candidate to the query
MEAN_DAYS_BETWEEN = "mean_days_between"  # between successive events with the candidate
DUE_RATIO = "due_ratio"  # DAYS_SINCE_INTERACTION / MEAN_DAYS_BETWEEN
# Signals of a query, the same for all its candidates.
HISTORY_SIZE = "history_size"
DAYS_SINCE_LAST_EVENT = "days_since_last_event"
HOUR, WEEKDAY = "hour", "weekday"  # UTC; Monday is 0
SIGNALS = (
    *(TIMES_IN_HISTORY, EVENTS_SINCE_INTERACTION, DAYS_SINCE_INTERACTION, MEAN_DAYS_BETWEEN, DUE_RATIO),
    *(HISTORY_SIZE, DAYS_SINCE_LAST_EVENT, HOUR, WEEKDAY),
)


def age_name(name: str) -> str:
    """Return the name of the signal with the days from the timestamp feature `name` to the query."""
    return f"days_since_{name}"


def computed_signals(features: Features) -> tuple[str, ...]:
    """Return the names of the signals that the ranker computes itself, so without those of the retriever."""
    return (*SIGNALS, *map(age_name, timestamp_columns(features.user | features.item)))


def check(features: Features, retriever_signals: Iterable[str]) -> None:
    """Check that the names of signals and features are different.

    Args:
      features: the feature configuration.
      retriever_signals: the names of the retriever's signals.
    Raises:
      ValueError: a feature has the name of a signal, or two signals have the same name.
    """
    every = features.user | features.item
    taken = {*raw_columns(every), *outputs(every)}
    for name in timestamp_columns(every):
        if age_name(name) in SIGNALS:
            raise ValueError(f"the age of {name!r} would be the signal {age_name(name)!r}, which exists. {_RENAME}")
        if age_name(name) in taken:
            raise ValueError(
                f"the age of {name!r} would be the signal {age_name(name)!r}, which is a feature. {_RENAME}"
            )
    both = sorted(taken & {*SIGNALS, *retriever_signals})
    if both:
        raise ValueError(f"{both} are names of signals of the ranker. {_RENAME}")


_RENAME = "Rename the feature in `columns`."

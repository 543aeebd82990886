"""The names of columns, splits and artifact files that several packages use."""

# ---- canonical columns of the tables ----
USER_ID = "user_id"
ITEM_ID = "item_id"
TIMESTAMP = "timestamp"  # int64, seconds since 1970-01-01 UTC
RATING = "rating"  # float32, optional

# ---- columns that the pipeline adds ----
HISTORY = "history"  # item ids of the user's latest events before the query, oldest first
HISTORY_TIME = "history_time"  # int64, the timestamps of these events
QUERY_TIME = "query_time"
SCORE = "score"  # an output of the served signatures; higher is better
PROBABILITY = "probability"  # an output of a ranking model: the probability that the candidate is relevant
ITEM_ROW = "item_row"  # an output of a retrieval model: the position in the catalogue, -1 for none
RETRIEVAL_SCORE = "retrieval_score"
RETRIEVAL_RANK = "retrieval_rank"  # 0 for the first candidate
EVENT_COUNT = "event_count"  # a column of the catalogue and of users: the number of events in train and eval
LABEL = "label"  # 1.0 for a relevant candidate
WEIGHT = "weight"  # the weight of a candidate in the ranker's loss; 0.0 for padding
MISSED = "missed"  # 1.0 for a relevant item that is not among the candidates

# ---- inputs of the served signatures that are not columns of a table ----
EXCLUDE = "exclude"  # ids of items that are not returned
K = "k"  # the number of items to return

# ---- tables ----
INTERACTIONS, USERS, ITEMS = "interactions", "users", "items"
TABLES = (INTERACTIONS, USERS, ITEMS)  # the joined tables; without a users table, users come from interactions
IMPRESSIONS = "impressions"  # items that users were shown; used in candidate lists only
NODE_NAMES = {
    INTERACTIONS: "Interaction",
    USERS: "User",
    ITEMS: "Item",
    IMPRESSIONS: "Impression",
}  # the prefixes of node ids

STATISTICS_INPUTS = {table: f"{table}_statistics" for table in NODE_NAMES}  # table -> input with its statistics

KEYS = {  # table -> the columns that every file of it has
    INTERACTIONS: (USER_ID, ITEM_ID, TIMESTAMP),
    USERS: (USER_ID,),
    ITEMS: (ITEM_ID,),
    IMPRESSIONS: (USER_ID, ITEM_ID, TIMESTAMP),
}

# ---- splits ----
ALL = "all"  # the only split of a table's Examples
TRAIN, EVAL, TEST = "train", "eval", "test"
CATALOGUE = "catalogue"  # every item once, with its features

# ---- files inside artifacts and releases ----
REPORT_FILE = "report.json"  # the counts and measurements of a component
EVALUATION_FILE = "evaluation.json"
STATISTICS_FILE = "FeatureStats.pb"  # written by StatisticsGen
BASELINE_FILE = "baseline.json"  # written by ReleaseInForce: the version of the release to compare with
DRIFT_FILE = "drift.json"  # written by DriftDetector: every measure with its bound
SAMPLES_FILE = "samples.json"  # written by TwoStepEvaluator: lists of some test users, and the density of events
TRAINING_FILE = "training.json"  # in a Trainer's model run: settings and learning curve
CATALOGUE_FILE = "catalogue.arrow"
MANIFEST_FILE = "manifest.json"
EVENTS_FOLDER = "events"  # the events of each split, one Arrow file per shard
LEFT_OUT_FOLDER = "left_out"  # events in no split, one Arrow file per shard that has any
USERS_FOLDER = "users"  # features, history and seen items of users, one Arrow file per shard

# ---- artifact types, as named in ML Metadata ----
RELEASE_TYPE = "components.Release"

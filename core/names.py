"""Every column, split and artifact file that more than one part knows by name, defined once."""

# ---- canonical columns of the tables ----
USER_ID = "user_id"
ITEM_ID = "item_id"
TIMESTAMP = "timestamp"  # int64, seconds since 1970-01-01 UTC
RATING = "rating"  # float32, optional

# ---- columns that the pipeline adds ----
HISTORY = "history"  # item ids of the user's earlier events, oldest first
HISTORY_TIME = "history_time"  # int64 seconds of those events
QUERY_ID = "query_id"
QUERY_TIME = "query_time"
SCORE = "score"  # of the served signatures: higher is better
PROBABILITY = "probability"  # of a ranking model's signatures: that a candidate is relevant
ITEM_ROW = "item_row"  # of a retrieval model's signatures: the item's row of the catalogue, -1 for none
RETRIEVAL_SCORE = "retrieval_score"
RETRIEVAL_RANK = "retrieval_rank"  # 0 for the first candidate
EVENT_COUNT = "event_count"  # of the catalogue: an item's events before test
LABEL = "label"  # 1.0 for a relevant candidate
WEIGHT = "weight"  # 0.0 for padding
MISSED = "missed"  # 1.0 for a right answer that is not among the places of the retriever's candidates

# ---- inputs of the served signatures that are no column of a table ----
EXCLUDE = "exclude"  # item ids never to be returned
K = "k"

# ---- tables ----
INTERACTIONS, USERS, ITEMS = "interactions", "users", "items"
TABLES = (INTERACTIONS, USERS, ITEMS)  # what is joined; without users they are those of the interactions
EXPOSURES = "exposures"  # what users were shown; for candidate lists alone, and no event
NODE_NAMES = {INTERACTIONS: "Interaction", USERS: "User", ITEMS: "Item", EXPOSURES: "Exposure"}  # how node ids start

STATISTICS_INPUTS = {table: f"{table}_statistics" for table in NODE_NAMES}  # table -> a component's input of them

KEYS = {  # table -> the columns that every file of it has
    INTERACTIONS: (USER_ID, ITEM_ID, TIMESTAMP),
    USERS: (USER_ID,),
    ITEMS: (ITEM_ID,),
    EXPOSURES: (USER_ID, ITEM_ID, TIMESTAMP),
}

# ---- splits ----
ALL = "all"  # the one split of a table's Examples
TRAIN, EVAL, TEST = "train", "eval", "test"
CATALOGUE = "catalogue"  # every item once, with its features and no user

# ---- files inside artifacts and releases ----
REPORT_FILE = "report.json"  # what a component counted, dropped and measured
EVALUATION_FILE = "evaluation.json"
STATISTICS_FILE = "FeatureStats.pb"  # of StatisticsGen
DRIFT_FILE = "drift.json"  # of DriftDetector: every measure beside its bound
SAMPLES_FILE = "samples.json"  # of TwoStepEvaluator: lists of some test users, and how dense the events are
TRAINING_FILE = "training.json"  # of a Trainer's model run: settings and curve
CATALOGUE_FILE = "catalogue.arrow"
MANIFEST_FILE = "manifest.json"
LEFT_OUT_FOLDER = "left_out"  # events that are in no split, one Arrow file a shard that has any
USERS_FOLDER = "users"  # each user's state as of the last event, one Arrow file a shard

# ---- artifact types of our own, as ML Metadata knows them ----
RELEASE_TYPE = "components.Release"

"""The engine: batches in, row sums over their logits out. Only this subpackage holds logits.

* `batch.py`: what is compared. `Batch` normalizes and gathers. `targets.py` and `ids.py` check.
* `contrast.py`: the sums that a loss may ask for.
* `direction_sums.py`, `logit_sums.py`, `masked_logits.py`, `logit_terms.py`: how they are computed,
  tile by tile.
* `tiles.py`: the tile policy and the loop over tiles.
* `score_tiles.py`: cosines of a corpus, for evaluations.
"""

from keras_contrastive._engine.batch import Batch, zero_where_missing
from keras_contrastive._engine.candidate_sampling import expected_candidates, largest_negatives
from keras_contrastive._engine.candidates import MISSING_ID, NO_ITEM_ID, Candidates
from keras_contrastive._engine.class_sums import class_sums
from keras_contrastive._engine.contrast import Contrast
from keras_contrastive._engine.groups import (
    groups_by_id,
    num_pairs_of_different_ids,
    sum_over_group,
)
from keras_contrastive._engine.ids import (
    LARGEST_ID,
    check_classes,
    check_ids,
    ids_of_array,
    is_on_host,
    to_numpy,
    without_column_axis,
)
from keras_contrastive._engine.item_tables import is_item, item_rows, write_item_rows
from keras_contrastive._engine.normalize import normalize, unit_rows
from keras_contrastive._engine.numerics import LOWEST, TIE
from keras_contrastive._engine.pairwise import log_gaussian_potential, squared_differences
from keras_contrastive._engine.ranks import (
    is_found,
    nearest_negative,
    nearest_positive,
    positive_ranks,
)
from keras_contrastive._engine.row_attributes import (
    as_guide,
    as_log_weights,
    as_presence,
    check_finite,
)
from keras_contrastive._engine.score_tiles import (
    Block,
    Keep,
    count_at_least,
    nearest_rows,
    unit_blocks,
)
from keras_contrastive._engine.targets import (
    as_column,
    as_embeddings,
    as_weights,
    check_has_rows,
    dtype_name,
    view_name,
)
from keras_contrastive._engine.tiles import eager_tile_shape, tile_shape

__all__ = [
    "LARGEST_ID",
    "LOWEST",
    "MISSING_ID",
    "NO_ITEM_ID",
    "TIE",
    "Batch",
    "Block",
    "Candidates",
    "Contrast",
    "Keep",
    "as_column",
    "as_embeddings",
    "as_guide",
    "as_log_weights",
    "as_presence",
    "as_weights",
    "check_classes",
    "check_finite",
    "check_has_rows",
    "check_ids",
    "class_sums",
    "count_at_least",
    "dtype_name",
    "eager_tile_shape",
    "expected_candidates",
    "groups_by_id",
    "ids_of_array",
    "is_found",
    "is_item",
    "is_on_host",
    "item_rows",
    "largest_negatives",
    "log_gaussian_potential",
    "nearest_negative",
    "nearest_positive",
    "nearest_rows",
    "normalize",
    "num_pairs_of_different_ids",
    "positive_ranks",
    "squared_differences",
    "sum_over_group",
    "tile_shape",
    "to_numpy",
    "unit_blocks",
    "unit_rows",
    "view_name",
    "without_column_axis",
    "write_item_rows",
    "zero_where_missing",
]


def __dir__() -> list[str]:
    return __all__

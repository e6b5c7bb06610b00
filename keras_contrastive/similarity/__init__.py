"""The engine: embeddings in, row sums over their logits out. No other room ever holds logits."""

from keras_contrastive.similarity.contrast import EMPTY as EMPTY
from keras_contrastive.similarity.contrast import NOBODY as NOBODY
from keras_contrastive.similarity.contrast import UNKNOWN as UNKNOWN
from keras_contrastive.similarity.contrast import Candidates as Candidates
from keras_contrastive.similarity.contrast import Contrast as Contrast
from keras_contrastive.similarity.grams import squared_differences as squared_differences
from keras_contrastive.similarity.groups import groups_by_id as groups_by_id
from keras_contrastive.similarity.groups import sum_over_group as sum_over_group
from keras_contrastive.similarity.normalize import normalize as normalize
from keras_contrastive.similarity.potentials import log_gaussian_potential as log_gaussian_potential
from keras_contrastive.similarity.ranks import has_positive as has_positive
from keras_contrastive.similarity.ranks import nearest_positive as nearest_positive
from keras_contrastive.similarity.ranks import positive_ranks as positive_ranks
from keras_contrastive.similarity.softmax import expected_candidates as expected_candidates
from keras_contrastive.similarity.softmax import largest_negatives as largest_negatives
from keras_contrastive.similarity.tiles import set_tile_shape as set_tile_shape
from keras_contrastive.similarity.views import as_views as as_views
from keras_contrastive.similarity.views import check_ids as check_ids

"""Real data as arrays, from installed packages."""

from keras_contrastive.datasets.emoji import ATTRIBUTION as ATTRIBUTION
from keras_contrastive.datasets.emoji import LANGUAGES as LANGUAGES
from keras_contrastive.datasets.emoji import SPLITS as SPLITS
from keras_contrastive.datasets.emoji import STYLES as STYLES
from keras_contrastive.datasets.emoji import Emoji as Emoji
from keras_contrastive.datasets.emoji import family_of as family_of
from keras_contrastive.datasets.emoji import load_emoji as load_emoji

"""Real data as arrays, from installed packages."""

from keras_contrastive.datasets.emoji import ATTRIBUTION as ATTRIBUTION
from keras_contrastive.datasets.emoji import LANGUAGES as LANGUAGES
from keras_contrastive.datasets.emoji import SPLITS as SPLITS
from keras_contrastive.datasets.emoji import STYLES as STYLES
from keras_contrastive.datasets.emoji import Emoji as Emoji
from keras_contrastive.datasets.emoji import family_of as family_of
from keras_contrastive.datasets.emoji import load_emoji as load_emoji
from keras_contrastive.datasets.tasks.assignments import emoji_assignments as emoji_assignments
from keras_contrastive.datasets.tasks.comparisons import emoji_comparisons as emoji_comparisons
from keras_contrastive.datasets.tasks.entailment import emoji_entailment as emoji_entailment
from keras_contrastive.datasets.tasks.kinds import emoji_kinds as emoji_kinds
from keras_contrastive.datasets.tasks.questions import emoji_questions as emoji_questions
from keras_contrastive.datasets.tasks.task import TASK_SPLITS as TASK_SPLITS
from keras_contrastive.datasets.tasks.task import EmojiTask as EmojiTask

"""Emoji tasks for the fusion examples: questions, comparisons, entailment and assignments."""

from emoji_tasks.assignments import emoji_assignments
from emoji_tasks.categories import emoji_kinds
from emoji_tasks.comparisons import emoji_comparisons
from emoji_tasks.entailment import emoji_entailment
from emoji_tasks.questions import emoji_questions
from emoji_tasks.task import TASK_SPLITS, EmojiTask

__all__ = [
    "TASK_SPLITS",
    "EmojiTask",
    "emoji_assignments",
    "emoji_comparisons",
    "emoji_entailment",
    "emoji_kinds",
    "emoji_questions",
]

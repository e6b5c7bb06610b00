"""Fixtures of the tests of the emoji tasks."""

from tests.examples.emoji_tasks.task_data import cache_dir as cache_dir
from tests.examples.emoji_tasks.task_data import data as data
from tests.examples.emoji_tasks.task_data import real as real

"""Fixtures of the tasks."""

from tests.datasets.task_data import cache_dir as cache_dir
from tests.datasets.task_data import data as data
from tests.datasets.task_data import real as real

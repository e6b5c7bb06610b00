"""Prompt templates for zero-shot classification."""

from types import MappingProxyType

PROMPTS = MappingProxyType(
    {
        "photos": (
            "a photograph that shows a {}",
            "a snapshot of one {}",
            "a {} in front of the camera",
            "a {} seen up close",
        ),
        "drawings": (
            "a hand-drawn {}",
            "a pencil sketch that shows a {}",
            "an icon that stands for a {}",
            "a simple illustration of a {}",
        ),
        "text": (
            "a text about {}",
            "this passage is mostly about {}",
            "the topic of this message is {}",
            "a document on the subject of {}",
        ),
    }
)

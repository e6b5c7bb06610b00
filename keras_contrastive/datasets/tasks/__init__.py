"""Tasks on pictures composed of emoji: questions, comparisons, entailment."""

"""The two pictures: what words find, and what a drawing finds. The queries are drawn at random."""

import numpy as np

from icon_parts import picture
from icon_parts.queries import PATTERNS, right_answers

SENTENCES = list(PATTERNS)
SEED, ROWS = 0, 4


def words_found(path, drawings, vectors, texts, sentences):
    """Draws the answers to sentences, and to names that the artist gave.

    Args:
        path: The file.
        drawings: The `Drawings` of the new artist.
        vectors: `(drawings, dim)`, their vectors.
        texts: `(drawings, dim)`, the vectors of their names.
        sentences: `(sentences, dim)`, the vectors of `SENTENCES`.
    """
    rng = np.random.default_rng(SEED)
    found = []
    for row in rng.permutation(len(SENTENCES))[:ROWS]:
        right = right_answers(SENTENCES[row], drawings.names)
        if right.any():
            query = f"“{SENTENCES[row]}”"
            found.append(picture.Found(query, None, vectors @ sentences[row], right))
    for row in rng.permutation(len(drawings))[:ROWS]:
        right = drawings.concepts == drawings.concepts[row]
        found.append(picture.Found(drawings.names[row], None, vectors @ texts[row], right))
    title = "Words find drawings by an artist that training never saw"
    subtitle = f"{len(drawings):,} icons by Lucide, found by their pixels. Queries are random."
    picture.draw(path, title, subtitle, found, drawings.images, drawings.names)


def drawings_found(path, drawings, vectors):
    """Draws what a drawing finds among those of other artists.

    The queries are of things that three or more artists drew, one of each family.
    """
    rng = np.random.default_rng(SEED)
    found, families = [], set()
    for row in rng.permutation(len(drawings)):
        same = drawings.concepts == drawings.concepts[row]
        others = drawings.artists != drawings.artists[row]
        if len(np.unique(drawings.artists[same])) < 3 or drawings.families[row] in families:
            continue
        families.add(drawings.families[row])
        scores = np.where(others, vectors @ vectors[row], -np.inf)
        caption = drawings.names[row], drawings.artists[row]
        found.append(picture.Found(drawings.images[row], caption, scores, same & others))
        if len(found) == 2 * ROWS:
            break
    title = "A drawing finds the same thing by other artists"
    subtitle = f"{len(drawings):,} drawings of things that training never saw. Queries are random."
    picture.draw(path, title, subtitle, found, drawings.images, drawings.names)

"""The exercises that ship: sound for every seat, nothing to be regretted, tracks without a gap.

That they can be done is proven by `mxlab exercise prove --all`.
"""

from collections import Counter

import pytest

from mxlab.backends.registry import BACKENDS, backend_named
from mxlab.exercise.lint import lint_exercise
from mxlab.exercise.load import exercise_ids, find_exercise, load_exercise
from mxlab.glossary.entry import entries


@pytest.mark.parametrize("name", exercise_ids())
def test_an_exercise_has_nothing_to_be_mended(name: str) -> None:
    worlds = [backend_named(world) for world in BACKENDS]
    said = lint_exercise(find_exercise(name), entries(), lambda line: "", worlds)
    assert [str(one.error) for one in said if one.level != "note"] == []


def test_a_track_counts_its_parts_from_one() -> None:
    shipped = [load_exercise(name) for name in exercise_ids()]
    parts = Counter((exercise.track, exercise.part) for exercise in shipped if exercise.track)
    for track in {track for track, _ in parts}:
        found = sorted(part for other, part in parts if other == track)
        assert found == list(range(1, len(found) + 1)), track
    assert max(parts.values(), default=1) == 1

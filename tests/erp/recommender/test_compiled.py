"""What was compiled of an older version is not used."""

from pathlib import Path

import pytest

from erp.recommender import candidates, compiled, kernel, neighbours


@pytest.mark.parametrize("function", [kernel._answer, candidates.find, neighbours._block])
def test_compiled_code_is_kept_by_the_version_of_all_that_is_compiled(function):
    """The kernel's too, which calls functions of another file."""
    assert compiled.version(compiled.HERE.glob("*.py")) in Path(function.stats.cache_path).parts


def test_the_version_changes_with_each_compiled_source(tmp_path):
    """And with no other."""
    called, plain = tmp_path / "called.py", tmp_path / "plain.py"
    called.write_text("@numba.njit\ndef one(): return 1")
    plain.write_text("TWO = 2")
    first = compiled.version([called, plain])
    plain.write_text("TWO = 3")
    assert first == compiled.version([plain, called])
    called.write_text("@numba.njit\ndef one(): return 3")
    assert first != compiled.version([called, plain])


def test_where_the_checkout_cannot_be_written_another_folder_of_the_version_is_taken(tmp_path):
    """And none where there is no such place; numba alone would keep it by no version at all."""
    barred = tmp_path / "a file"
    barred.touch()
    found = compiled.writable([barred, tmp_path / "home"], "version")
    assert tmp_path / "home" / "version" == found
    assert found.is_dir()
    assert compiled.writable([barred], "version") is None

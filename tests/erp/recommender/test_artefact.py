"""The model file: whole or refused, and never able to run anything."""

import os
import pickle
import struct

import numpy as np
import pytest

from erp.recommender import artefact, load
from erp.recommender.artefact import (
    ArtefactDamagedError,
    ArtefactError,
    ArtefactForeignError,
    ArtefactMissingError,
    ArtefactNewerError,
)

CONTENT = {
    "facts": {"algo": "a", "counts": {"sales": 2}},
    "items": {"ids": ["1", "ñ"], "names": [None, "Té"]},
    "values": np.array([[1, 2], [3, 4]], np.int32),
}


class Command:
    """An object whose unpickling would run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class Elsewhere(pickle.Pickler):
    """Writes a reference to an object outside the file."""

    def persistent_id(self, value):
        return "elsewhere" if value == "elsewhere" else None


@pytest.fixture
def path(tmp_path):
    """Where the model of a test is."""
    return tmp_path / "item_sim.pkl"


def document(**changed):
    """A model file's document, with some of it changed."""
    whole = {
        "format": artefact.FORMAT,
        "format_version": artefact.FORMAT_VERSION,
        "sha256": artefact.content_hash(CONTENT),
        "content": artefact._plain(CONTENT),
    }
    return whole | changed


def test_what_was_written_is_read_back(path):
    """Arrays and plain values, and the hash that `write` gave."""
    digest = artefact.write(path, CONTENT)
    content, found = artefact.read(path)
    assert digest == found
    assert CONTENT["facts"] == content["facts"]
    assert CONTENT["items"] == content["items"]
    assert np.array_equal(CONTENT["values"], content["values"])
    assert [path] == list(path.parent.iterdir())


def test_a_poisoned_file_runs_nothing(path, tmp_path):
    """A pickle that would run a command is refused before it does."""
    trace = tmp_path / "it-ran"
    for poison in (Command(f"touch {trace}"), document(content=Command(f"touch {trace}"))):
        path.write_bytes(pickle.dumps(poison))
        with pytest.raises(ArtefactForeignError, match=r"names posix\.system"):
            load(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "poison",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # protocol 0
        b"\x80\x02cbuiltins\neval\nX\x04\x00\x00\x001+1q\x00\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
        b"(S'true'\nios\nsystem\n.",  # INST
    ],
)
def test_no_way_to_name_a_function_is_left(path, poison):
    """Each of pickle's opcodes for it ends in the same refusal."""
    path.write_bytes(poison)
    with pytest.raises(ArtefactForeignError, match="a model holds plain values only"):
        artefact.read(path)


def test_a_reference_to_the_outside_is_refused(path):
    """A persistent id would ask the program for an object."""
    with path.open("wb") as file:
        Elsewhere(file).dump(document(content="elsewhere"))
    with pytest.raises(ArtefactForeignError, match="objects outside"):
        artefact.read(path)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"format": "other"}, ArtefactForeignError),
        ({"format_version": artefact.FORMAT_VERSION + 1}, ArtefactNewerError),
        ({"format_version": "1"}, ArtefactNewerError),
        ({"content": None}, ArtefactForeignError),
        ({"content": {"facts": {1, 2}}}, ArtefactForeignError),
        ({"sha256": "0" * 64}, ArtefactDamagedError),
        ({"content": {"a": {"dtype": "|O", "shape": [1], "data": b"8bytes.."}}},
         ArtefactForeignError),
        ({"content": {"a": {"dtype": "<i4", "shape": [1], "data": "text"}}}, ArtefactForeignError),
        ({"content": {"a": {"dtype": "<i4", "shape": [2**40], "data": b"1234"}}},
         ArtefactDamagedError),
        ({"content": {"a": {"dtype": "<i4", "shape": [1], "data": b"123"}}}, ArtefactDamagedError),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused_and_why_is_said(path, changed, error):
    """Another program's file, a newer one, one that was changed by hand."""
    path.write_bytes(pickle.dumps(document(**changed)))
    with pytest.raises(error) as raised:
        artefact.read(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_cut_anywhere_is_refused(path):
    """A full disk or a copy that was broken off leaves no half model."""
    artefact.write(path, CONTENT)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtefactError):
            artefact.read(path)


def test_a_changed_byte_of_the_content_is_found(path):
    """The hash covers every number."""
    artefact.write(path, CONTENT)
    before = struct.pack("<4i", 1, 2, 3, 4)
    path.write_bytes(path.read_bytes().replace(before, struct.pack("<4i", 1, 2, 3, 5)))
    with pytest.raises(ArtefactDamagedError, match="does not match its hash"):
        artefact.read(path)


def test_a_model_of_plain_values_that_lacks_a_part_is_refused(path):
    """Right in form and hash, but not what `Model.save` writes."""
    artefact.write(path, CONTENT)
    with pytest.raises(ArtefactForeignError, match="lacks a part of a model"):
        load(path)


def test_no_file_says_what_to_run(path):
    """The person reads which script writes it."""
    with pytest.raises(ArtefactMissingError, match=r"run model_train_reco\.py"):
        artefact.read(path)


def test_older_versions_are_kept_up_to_a_number_and_the_newest_comes_back(path):
    """A rollback takes the version before; a damaged one is not put in place."""
    for number in range(4):
        artefact.keep_version(path, f"2026010{number}T000000Z-0000000{number}", 2)
        artefact.write(path, CONTENT | {"number": number})
    kept = artefact.versions(path)
    assert [2, 1] == [artefact.read(each)[0]["number"] for each in kept]
    assert kept[0] == artefact.rollback(path)
    assert 2 == artefact.read(path)[0]["number"]
    kept[1].write_bytes(b"broken")
    with pytest.raises(ArtefactError):
        artefact.rollback(path)
    assert 2 == artefact.read(path)[0]["number"]

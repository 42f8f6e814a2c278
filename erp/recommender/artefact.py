"""The artefact: arrays and plain values in a pickle that cannot carry code.

The file is one pickle of builtin types only, a dict of format, format version, SHA-256 of the
content and the content; an array in it is a dict of dtype, shape and data (bytes). It is read by
an unpickler that refuses every class and function, so loading cannot run anything, and arrays are
views of the bytes that were read. The version before stays beside it, up to a number.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np

FORMAT = "erp-item-sim"
FORMAT_VERSION = 3
ARRAY_KEYS = {"dtype", "shape", "data"}
DTYPES = {"<i4", "<i8", "<u8", "<f4", "<f8", "|b1", "|u1"}


class ArtefactError(Exception):
    """The file is no model that can be used; the message says why and what to do."""


class ArtefactMissingError(ArtefactError):
    """There is no such file yet."""


class ArtefactForeignError(ArtefactError):
    """The file is something else, or holds what a model never holds."""


class ArtefactDamagedError(ArtefactError):
    """The file is cut short, or its content does not match its hash."""


class ArtefactNewerError(ArtefactError):
    """The file was written in a newer format than this program reads."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        raise ArtefactForeignError(
            f"the file names {module}.{name}; a model holds plain values only"
        )

    def persistent_load(self, pid):  # noqa: ARG002  the name is pickle's
        raise ArtefactForeignError(
            "the file refers to objects outside; a model holds plain values only"
        )


def content_hash(content) -> str:
    """SHA-256 (hex) of plain values and arrays, independent of how they are stored."""
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest, value) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"a{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data if value.size else b"")
    elif isinstance(value, dict):
        digest.update(b"d%d" % len(value))
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(b"l%d" % len(value))
        if all(item is None or isinstance(item, str) for item in value):
            digest.update(b"".join(map(_text_bytes, value)))  # long: one call for all of them
        else:
            for item in value:
                _feed(digest, item)
    elif isinstance(value, str):
        digest.update(_text_bytes(value))
    elif isinstance(value, bytes):
        digest.update(b"b%d:" % len(value) + value)
    elif value is None or isinstance(value, (bool, int, float)):
        digest.update(f"{type(value).__name__}{value!r};".encode())
    else:
        raise TypeError(f"{type(value).__name__} has no place in a model")


def _text_bytes(value: str | None) -> bytes:
    if value is None:
        return b"NoneTypeNone;"
    text = value.encode("utf-8", "surrogatepass")
    return b"s%d:" % len(text) + text


def _plain(value):
    """Arrays as dicts of bytes; everything else as it is."""
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        return {"dtype": array.dtype.str, "shape": list(array.shape), "data": array.tobytes()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, str) for item in value):
            return list(value)
        return [_plain(item) for item in value]
    return value


def _arrays(value):
    """The inverse of `_plain`, without copying the data."""
    if isinstance(value, dict):
        if value.keys() == ARRAY_KEYS:
            if value["dtype"] not in DTYPES or not isinstance(value["data"], bytes):
                raise ArtefactForeignError(f"it holds an array of {value['dtype']!r}")
            try:
                return np.frombuffer(value["data"], value["dtype"]).reshape(value["shape"])
            except (TypeError, ValueError) as error:
                raise ArtefactDamagedError(f"an array does not have its shape: {error}") from error
        return {key: _arrays(item) for key, item in value.items()}
    if isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return value
        return [_arrays(item) for item in value]
    return value


def write(path: str | Path, content: dict) -> str:
    """Write the content whole or not at all; returns its hash.

    The file appears under its name only when it is complete and on disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = content_hash(content)
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sha256": digest,
        "content": _plain(content),
    }
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            pickle.dump(document, file, protocol=5)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return digest


def read(path: str | Path) -> tuple[dict, str]:
    """The content of a file that `write` made, and its hash.

    Raises
    ------
    ArtefactMissingError, ArtefactForeignError, ArtefactDamagedError, ArtefactNewerError
    """
    path = Path(path)
    if not path.is_file():
        raise ArtefactMissingError(f"there is no model at {path}; run model_train_reco.py")
    with path.open("rb") as file:
        try:
            document = _PlainUnpickler(file).load()
        except ArtefactError as error:
            raise type(error)(f"{path}: {error}") from None
        except (EOFError, MemoryError) as error:
            raise ArtefactDamagedError(
                f"{path} is cut short; run model_train_reco.py again"
            ) from error
        except Exception as error:  # a pickle can fail in any way
            raise (ArtefactDamagedError if _begins_like_ours(path) else ArtefactForeignError)(
                f"{path} is not a readable model ({error}); run model_train_reco.py"
            ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ArtefactForeignError(
            f"{path} is not a model of this program; run model_train_reco.py"
        )
    number = document.get("format_version")
    if not isinstance(number, int) or number > FORMAT_VERSION:
        raise ArtefactNewerError(
            f"{path} has format version {number}, this program reads {FORMAT_VERSION}: update it, "
            "or train again"
        )
    try:
        content = _arrays(document.get("content"))
    except ArtefactError as error:
        raise type(error)(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise ArtefactForeignError(f"{path} holds no model; run model_train_reco.py")
    try:
        digest = content_hash(content)
    except TypeError as error:
        raise ArtefactForeignError(f"{path}: {error}") from error
    if digest != document.get("sha256"):
        raise ArtefactDamagedError(f"{path} does not match its hash; run model_train_reco.py again")
    return content, digest


def _begins_like_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return FORMAT.encode() in file.read(100)


def versions(path: str | Path) -> list[Path]:
    """Older versions beside the artefact, newest first."""
    path = Path(path)
    return sorted(path.parent.glob(f"{path.stem}.*-*{path.suffix}"), reverse=True)


def keep_version(path: str | Path, label: str, kept: int) -> None:
    """Keep the present file as `<stem>.<label><suffix>`, and no more than `kept` of them.

    `label` sorts by time and names the version: 20260131T120000Z-0123abcd.
    """
    path = Path(path)
    if path.is_file() and kept > 0:
        old = path.with_name(f"{path.stem}.{label}{path.suffix}")
        if not old.exists():
            os.link(path, old)
    for surplus in versions(path)[max(kept, 0) :]:
        surplus.unlink(missing_ok=True)


def rollback(path: str | Path) -> Path:
    """Put the newest kept version back in place of the artefact; returns where it came from.

    Raises
    ------
    ArtefactMissingError
        No older version is kept.
    ArtefactError
        The kept version cannot be read: the present one stays.
    """
    kept = versions(path)
    if not kept:
        raise ArtefactMissingError(f"no older version of {path} is kept")
    read(kept[0])
    kept[0].replace(path)
    return kept[0]

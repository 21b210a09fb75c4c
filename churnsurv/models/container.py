"""One file that holds named arrays and a manifest: sealed by a hash, replaced at once, read with suspicion.

The file is a plain zip archive without compression. Its comment is the SHA-256 of every byte before the comment's
text, so that any change is seen before anything is read; the hash tells damage, not who wrote the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from churnsurv._typing import Json
from churnsurv.errors import SavedFitError

LARGEST = 2 * 2**30
"""Bytes of a file that is read at all."""
LARGEST_MANIFEST = 32 * 2**20
MOST_MEMBERS = 1000
_DEEPEST = 20
_POSIX = os.name == "posix"
_UNFINISHED = ".part"
_PREFIX = b"churnsurv sha256 "
_COMMENT = len(_PREFIX) + 64
_MEMBER = re.compile(r"[A-Za-z0-9._-]{1,64}\.npy")
_KINDS = frozenset("fiub")
_FOREIGN = (
    (b"\x80", "a Python pickle"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"CDF", "a netCDF file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"x\x9c", "a compressed joblib file"),
    (b"ZF", "a compressed joblib file"),
    (b"\x93NUMPY", "a single numpy array"),
    (b"PAR1", "a Parquet file"),
)


def _refuse(path: Path, why: str) -> SavedFitError:
    return SavedFitError(
        f"{path.name} is not a fit that can be loaded: {why}.",
        consequence="Nothing in it was run or used.",
        hint="fit.save(path) writes a file that churnsurv.load(path) reads.",
    )


def _array_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def pack(manifest: Mapping[str, Json], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Make the bytes of a file; the same content makes the same bytes.

    Parameters
    ----------
    manifest : mapping
        What JSON can hold; NaN and infinity are refused.
    arrays : mapping of str to array
        Numbers and truth values, by member name without ``.npy``.

    Returns
    -------
    bytes
        The file.
    """
    members = {f"{name}.npy": _array_bytes(array) for name, array in arrays.items()}
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in members.items()}
    text = json.dumps({**manifest, "members": listed}, allow_nan=False, ensure_ascii=True, sort_keys=True, indent=1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"manifest.json": text.encode(), **members}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        archive.comment = b"." * _COMMENT
    body = buffer.getvalue()[:-_COMMENT]
    return body + _PREFIX + hashlib.sha256(body).hexdigest().encode()


def write_at_once(path: Path, data: bytes) -> None:
    """Replace a file so that a reader, or a crash at any moment, finds the old or the new and never a mix.

    The bytes go to a file of another name in the same folder and are forced to the disk; then one rename puts
    it in place (atomic on POSIX and on Windows), and the folder itself is forced to the disk. What a writer that was
    killed has left behind is removed by the next one; a lock tells it from what another writer is about to write.

    Raises
    ------
    SavedFitError
        If the path is a folder.
    OSError
        If something fails on the way: the old file is then as it was. Only if the very last step fails (to force the
        folder to the disk, after the rename) is it the new one.
    """
    if path.is_dir():
        raise SavedFitError(f"{path.name} is a folder.", hint="give the path of a file, for example out/fit.")
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name[:40]}-"
    _remove_left_behind(path.parent, prefix)
    handle, name = _open_beside(path.parent, prefix)
    try:
        try:
            _write(handle, data)
            if _POSIX:
                os.replace(name, path)  # while the lock is held
        finally:
            os.close(handle)
        if not _POSIX:
            os.replace(name, path)  # an open file cannot be renamed there
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    if _POSIX:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    if _POSIX:
        os.fchmod(handle, 0o644)
    os.fsync(handle)


def _open_beside(folder: Path, prefix: str) -> tuple[int, str]:
    """Open a new file of a name of its own, and lock it; again, if another writer took it for left behind meanwhile."""
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=_UNFINISHED, dir=folder)
        _lock(handle, wait=True)
        if not _POSIX or os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)


def _remove_left_behind(folder: Path, prefix: str) -> None:
    """Remove unfinished files that no living writer holds; what cannot be removed stays."""
    for name in os.listdir(folder):
        if not name.startswith(prefix) or not name.endswith(_UNFINISHED):
            continue
        with contextlib.suppress(OSError):
            if not _POSIX:
                os.unlink(folder / name)  # refused while a writer has it open
                continue
            handle = os.open(folder / name, os.O_RDONLY)
            try:
                if _lock(handle, wait=False):
                    os.unlink(folder / name)
            finally:
                os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file for as long as it is open; whether that was possible."""
    if not _POSIX:
        return False
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def unpack(path: Path) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Read a file that :func:`pack` made; refuse anything else before using any of it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    manifest : dict
        Checked to be plain JSON.
    arrays : dict of str to array
        Checked against the manifest.

    Raises
    ------
    SavedFitError
        If the file is missing, foreign, damaged or built to do harm.
    """
    return unpack_bytes(path, _read(path))


def unpack_bytes(path: Path, data: bytes) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Do the same with bytes that are, or are to be, in the file."""
    _check_seal(path, data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_members(path, archive)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise _refuse(path, "its archive is broken") from error


def _read(path: Path) -> bytes:
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        raise SavedFitError(f"there is no saved fit at {path.name!r}.", hint="fit.save(path) writes one.") from error
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISREG(found.st_mode):
        raise _refuse(path, "it is a folder, a link or a device, not a file")
    if found.st_size > LARGEST:
        raise _refuse(path, f"it has {found.st_size:,} bytes, at most {LARGEST:,} are read")
    return path.read_bytes()


def _check_seal(path: Path, data: bytes) -> None:
    for magic, name in _FOREIGN:
        if data.startswith(magic):
            raise _refuse(path, f"it is {name}")
    if not data.startswith(b"PK\x03\x04"):
        raise _refuse(path, "it does not begin like one")
    body, comment = data[:-_COMMENT], data[-_COMMENT:]
    if not comment.startswith(_PREFIX):
        raise _refuse(path, "it has no seal at its end: it is cut short, or was not written by this library")
    if comment[len(_PREFIX) :] != hashlib.sha256(body).hexdigest().encode():
        raise _refuse(path, "it is damaged: its bytes do not match its seal")


def _read_members(path: Path, archive: zipfile.ZipFile) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names) or len(names) > MOST_MEMBERS:
        raise _refuse(path, "it has members twice, or too many")
    for entry in entries:
        if entry.filename != "manifest.json" and not _MEMBER.fullmatch(entry.filename):
            raise _refuse(path, f"a member is called {entry.filename[:80]!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise _refuse(path, "a member is compressed or encrypted")
    if "manifest.json" not in names or archive.getinfo("manifest.json").file_size > LARGEST_MANIFEST:
        raise _refuse(path, "its manifest is missing or too large")
    manifest = read_json(path, archive.read("manifest.json"))
    listed = manifest.get("members")
    if not isinstance(listed, dict) or set(listed) != set(names) - {"manifest.json"}:
        raise _refuse(path, "its members are not those that the manifest lists")
    arrays = {name.removesuffix(".npy"): _read_array(path, archive.read(name), listed[name]) for name in listed}
    return manifest, arrays


def _read_array(path: Path, data: bytes, listed: Json) -> np.ndarray:
    if not isinstance(listed, dict) or listed.get("sha256") != hashlib.sha256(data).hexdigest():
        raise _refuse(path, "a member does not match its hash")
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False, max_header_size=2000)
    except (ValueError, EOFError, OSError, MemoryError, SyntaxError, TypeError) as error:
        raise _refuse(path, "a member is no plain array") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in _KINDS or array.nbytes > len(data):
        raise _refuse(path, "a member is no plain array of numbers")
    return array


def read_json(path: Path, data: bytes) -> dict[str, Json]:
    """Read an object from JSON: no NaN, no infinity, no key twice, no depth beyond reason."""

    def constant(name: str) -> None:
        raise _refuse(path, f"its manifest holds {name}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _refuse(path, "its manifest holds a key twice")
        return found

    depth = 0
    for byte in re.findall(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', data):
        depth += (byte in b"[{") - (byte in b"]}") if len(byte) == 1 else 0
        if depth > _DEEPEST:
            raise _refuse(path, "its manifest is nested too deeply")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=constant, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "its manifest is no JSON") from error
    if not isinstance(value, dict) or not _finite(value):
        raise _refuse(path, "its manifest is no object of finite numbers")
    return cast("dict[str, Json]", value)


def _finite(value: object) -> bool:
    """``1e999`` is valid JSON and infinite."""
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or bool(np.isfinite(value))

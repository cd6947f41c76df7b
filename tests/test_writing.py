"""Files written in one step, beside other writers, and what those that were killed left behind."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from numlstm import persistence
from numlstm.persistence import SUFFIX, write_file

locks = pytest.mark.skipif(persistence.fcntl is None, reason="needs locks that a death gives up")

# Writes half of a file, says so, and waits to be killed.
HALF = """
import os, sys, time
from numlstm import persistence
def fsync(handle):
    print("half", flush=True)
    time.sleep(100)
persistence.os.fsync = fsync
persistence.write_file(sys.argv[1], b"half")
"""


def half_writer(path):
    process = subprocess.Popen([sys.executable, "-c", HALF, path], stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"half"
    return process


def beside(path):
    return sorted(p.name for p in path.parent.iterdir() if p != path)


@locks
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "model [1].safetensors"
    process = half_writer(path)
    write_file(path, b"mine")  # of a living writer nothing is removed
    (left,) = beside(path)
    assert left.startswith(".model [1].safetensors.") and left.endswith(SUFFIX)
    process.kill()
    process.communicate()
    assert (path.read_bytes(), beside(path)) == (b"mine", [left])
    write_file(path, b"new")
    assert (path.read_bytes(), beside(path)) == (b"new", [])


@locks
def test_writers_killed_one_after_the_other_leave_one_file(tmp_path, monkeypatch):
    path, seen = tmp_path / "m", set()
    for _ in range(3):
        process = half_writer(path)
        process.kill()
        process.communicate()
        seen.update(beside(path))
        assert len(beside(path)) == 1
    assert len(seen) == 3

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(persistence.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert beside(path) == []


@locks
def test_nothing_else_is_removed(tmp_path):
    kept = [".m.settings", f".m2.abcdefgh{SUFFIX}", f"m.abcdefgh{SUFFIX}", ".m.abcdefgh", "other"]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f".m.folder{SUFFIX}").mkdir()
    os.symlink("other", tmp_path / f".m.link{SUFFIX}")
    os.mkfifo(tmp_path / f".m.pipe{SUFFIX}")
    write_file(tmp_path / "m", b"")
    kept += [f".m.folder{SUFFIX}", f".m.link{SUFFIX}"]
    assert beside(tmp_path / "m") == sorted(kept)  # a pipe of this name is nobody's


def test_many_writers_at_once(tmp_path):
    """Each may look for stale files between any two lines of the others."""
    path, failures = tmp_path / "m", []

    def write_often(byte):
        try:
            for _ in range(100):
                write_file(path, byte * 1000)
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write_often, args=(b,)) for b in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures
    assert path.read_bytes() in {b * 1000 for b in (b"a", b"b", b"c")}
    assert beside(path) == []


@locks
def test_a_file_taken_for_stale_before_it_was_locked(tmp_path, monkeypatch):
    path, real, removed = tmp_path / "m", persistence._lock, []

    def lock(handle, name):
        if not removed:
            removed.append(name)
            os.unlink(name)
        return real(handle, name)

    monkeypatch.setattr(persistence, "_lock", lock)
    write_file(path, b"whole")
    assert removed and path.read_bytes() == b"whole" and beside(path) == []


def test_without_locks_nothing_is_taken_for_stale(tmp_path, monkeypatch):
    (tmp_path / f".m.abcdefgh{SUFFIX}").touch()
    monkeypatch.setattr(persistence, "fcntl", None)
    write_file(tmp_path / "m", b"whole")
    assert (tmp_path / "m").read_bytes() == b"whole"
    assert beside(tmp_path / "m") == [f".m.abcdefgh{SUFFIX}"]


@pytest.mark.parametrize("name", ["x" * 255, "\U0001f40e" * 63])
def test_the_longest_names(tmp_path, name):
    write_file(tmp_path / name, b"whole")
    assert (tmp_path / name).read_bytes() == b"whole"


@pytest.mark.parametrize("what", ["fsync", "chmod", "replace"])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, what):
    path = Path(tmp_path, "m")
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(persistence.os, what, fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old" and beside(path) == []

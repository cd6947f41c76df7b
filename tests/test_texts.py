"""Texts: the interpreter's documentation, and tiny-shakespeare with and without a network."""

import hashlib
import io
import os
import urllib.request
from http.client import BadStatusLine
from pathlib import Path

import pytest

from numlstm.data import texts
from numlstm.data.texts import data_home, fetch_tiny_shakespeare, read_text
from numlstm.datasets import load_python_docs

PLAY = "First Citizen:\nBefore we proceed any further, hear me speak.\n"
SHARED = Path(__file__).parents[2] / "shared" / "data" / "tinyshakespeare.txt"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a small text that goes for tiny-shakespeare."""
    data = PLAY.encode()
    monkeypatch.setenv("NUMLSTM_DATA", str(tmp_path / "cache"))
    fake = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    monkeypatch.setattr(texts, "TINY_SHAKESPEARE", texts.TINY_SHAKESPEARE | fake)
    return tmp_path / "cache"


@pytest.fixture
def network(monkeypatch):
    """A network that holds `network.answer`: bytes to read, or an error to raise."""

    class Network:
        answer, calls = PLAY.encode(), []

        def open(self, url, timeout):
            self.calls = [*self.calls, url]
            if isinstance(self.answer, Exception):
                raise self.answer
            return io.BytesIO(self.answer)

    network = Network()
    monkeypatch.setattr(urllib.request, "urlopen", network.open)
    return network


def files(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_the_documentation_of_python_is_a_long_text():
    text = load_python_docs()
    assert isinstance(text, str)
    assert len(text) > 200_000
    assert "lambda" in text and text.endswith("\n")
    assert text == load_python_docs()


def test_a_text_is_downloaded_once(cache, network):
    assert fetch_tiny_shakespeare() == PLAY
    assert fetch_tiny_shakespeare() == PLAY
    assert network.calls == [texts.TINY_SHAKESPEARE["url"]]
    assert files(cache) == ["tinyshakespeare.txt"]
    assert (cache / "tinyshakespeare.txt").read_bytes() == PLAY.encode()


def test_a_downloaded_file_is_as_readable_as_any_other(cache, network):
    fetch_tiny_shakespeare()
    (cache / "other").touch()
    assert (cache / "tinyshakespeare.txt").stat().st_mode == (cache / "other").stat().st_mode


def test_a_file_in_the_cache_needs_no_network(cache, network):
    network.answer = OSError("no network")
    cache.mkdir()
    (cache / "tinyshakespeare.txt").write_text(PLAY)
    assert fetch_tiny_shakespeare() == PLAY
    assert network.calls == []


@pytest.mark.parametrize("damaged", [b"", b"<html>", PLAY.encode()[:-1], b"\xff" * len(PLAY)])
def test_a_damaged_file_in_the_cache_is_downloaded_again(damaged, cache, network):
    cache.mkdir()
    (cache / "tinyshakespeare.txt").write_bytes(damaged)
    answer, network.answer = network.answer, OSError("no network")
    expected = (
        rf"shakespeare.txt is not .*: {len(damaged)} bytes .*downloaded \(no network\)\. With"
    )
    with pytest.raises(OSError, match=expected):
        fetch_tiny_shakespeare()
    assert (cache / "tinyshakespeare.txt").read_bytes() == damaged
    network.answer = answer
    assert fetch_tiny_shakespeare() == PLAY
    assert (cache / "tinyshakespeare.txt").read_bytes() == PLAY.encode()
    assert files(cache) == ["tinyshakespeare.txt"]


def test_a_copy_elsewhere_needs_no_network(cache, network, tmp_path):
    (tmp_path / "copy.txt").write_text(PLAY)
    assert fetch_tiny_shakespeare(tmp_path / "copy.txt") == PLAY
    assert network.calls == [] and not cache.exists()


ERRORS = [OSError("Network is unreachable"), TimeoutError("timed out"), BadStatusLine("?")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_without_a_network_the_message_says_where_to_put_the_file(error, cache, network):
    network.answer = error
    with pytest.raises(OSError, match="could not be downloaded") as caught:
        fetch_tiny_shakespeare()
    assert str(cache / "tinyshakespeare.txt") in str(caught.value)
    assert str(error) in str(caught.value)
    assert not cache.exists()


@pytest.mark.parametrize(
    "answer", [b"", b"<html>Sign in to this network</html>", PLAY.encode()[:-1]]
)
def test_another_file_is_refused_and_not_kept(answer, cache, network, tmp_path):
    network.answer = answer
    with pytest.raises(ValueError, match="not tiny-shakespeare"):
        fetch_tiny_shakespeare()
    assert not cache.exists()
    wrong = tmp_path / "wrong.txt"
    wrong.write_bytes(answer)
    with pytest.raises(ValueError, match=r"wrong\.txt is not tiny-shakespeare"):
        fetch_tiny_shakespeare(wrong)


def test_no_more_is_read_than_a_wrong_file_takes_to_be_noticed(cache, network):
    network.answer = PLAY.encode() * 1000
    with pytest.raises(ValueError, match=f"{len(PLAY) + 1} bytes"):
        fetch_tiny_shakespeare()


def test_a_download_that_cannot_be_kept_leaves_nothing_behind(cache, network, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        fetch_tiny_shakespeare()
    assert files(cache) == []


def test_a_missing_copy_is_the_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        fetch_tiny_shakespeare(tmp_path / "missing.txt")


def test_the_cache_folder_is_that_of_the_user_unless_said_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMLSTM_DATA", str(tmp_path))
    assert data_home() == tmp_path
    for unset in (None, ""):
        if unset is None:
            monkeypatch.delenv("NUMLSTM_DATA")
        else:
            monkeypatch.setenv("NUMLSTM_DATA", unset)
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert data_home() == tmp_path / "xdg" / "numlstm"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert data_home() == Path.home() / ".cache" / "numlstm"
        monkeypatch.setattr("sys.platform", "darwin")
        assert data_home() == Path.home() / "Library" / "Caches" / "numlstm"
        monkeypatch.setattr("sys.platform", "win32")
        monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
        assert data_home() == tmp_path / "local" / "numlstm"


@pytest.mark.skipif(not SHARED.exists(), reason="needs a copy of the real text")
def test_the_real_text_passes():
    text = fetch_tiny_shakespeare(SHARED)
    assert len(text) == texts.TINY_SHAKESPEARE["bytes"]
    assert len(set(text)) == 65


def test_reading_a_text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("a\r\nž\x00🙂".encode())
    assert read_text(path, 6) == "a\r\nž\x00🙂"
    with pytest.raises(ValueError, match="text has 6, but 7 or more characters are needed"):
        read_text(path, 7)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        read_text(path)
    path.write_bytes(b"ab\xff")
    with pytest.raises(ValueError, match="not UTF-8 text: invalid start byte at byte 2"):
        read_text(path)

"""Damaged files are refused: by hand, and 11,000 times by chance."""

import json
import resource

import numpy as np
import pytest
from test_persistence import build, char_lstm, lstm

import numlstm
from numlstm import persistence
from numlstm.persistence import read_model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_a_truncated_or_longer_file_is_refused(make, path):
    make().save(path)
    whole = path.read_bytes()
    for content in [*(whole[:k] for k in range(0, len(whole), 37)), whole[:-1], whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a model that can be read"):
            numlstm.load(path)


def test_a_newer_format_is_refused(path, monkeypatch):
    newer = "has format version 2, newer than the 1 known here: a newer numlstm reads it"
    for version, match in ((2, newer), (0, "version 0"), ("1", "version '1'"), (None, "None")):
        monkeypatch.setattr(persistence, "FORMAT_VERSION", version)
        lstm().save(path)
        monkeypatch.undo()
        with pytest.raises(ValueError, match=match):
            numlstm.load(path)


@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_a_key_that_stands_twice_is_refused(make, path):
    make().save(path)
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header, body = whole[8 : 8 + size].decode().rstrip(), whole[8 + size :]
    parts = json.loads(header)
    outer = json.loads(parts["__metadata__"]["numlstm"])
    name = next(key for key in parts if key != "__metadata__")
    twice = [header[:-1] + f', "{key}": {json.dumps(parts[key])}}}' for key in parts]
    for text in (
        outer["content"].replace('{"', '{"version": 1, "', 1),
        outer["content"].replace('{"', '{"class": "LSTM", "', 1),
    ):
        arrays = read_model(path)[1]
        digest = persistence._digest(arrays, text)  # right, as far as it goes
        changed = json.dumps({"sha256": digest, "content": text})
        twice.append(json.dumps({**parts, "__metadata__": {"numlstm": changed}}))
    again = json.dumps(outer)[:-1] + ', "sha256": "' + outer["sha256"] + '"}'
    twice.append(json.dumps({**parts, "__metadata__": {"numlstm": again}}))
    assert name and len(twice) > 5
    for text in twice:
        path.write_bytes(build(text.encode() + b" " * (-len(text.encode()) % 8), body))
        with pytest.raises(ValueError, match="a key stands twice"):
            numlstm.load(path)
    path.write_bytes(build(header.encode(), body))
    numlstm.load(path)  # what the others were made of


def test_the_sha256_covers_everything(path):
    """Other content under the old digest is refused, be it as plausible as it may."""
    lstm().save(path)
    kind, arrays, content = read_model(path)
    digest = persistence._digest
    text = json.dumps({"version": 1, "class": kind, **content}, sort_keys=True)
    wanted = digest(arrays, text)
    others = [({**arrays, "0.b": 2 * arrays["0.b"]}, text), (arrays, text.replace("false", "true"))]
    others += [({**arrays, "0.b": arrays["0.b"][None]}, text), (arrays, text + " ")]
    swapped = {**arrays, "0.Wh": arrays["0.Wx"], "0.Wx": arrays["0.Wh"]}
    others += [(swapped, text), ({**arrays, "1.b": arrays["0.b"]}, text)]
    assert len({wanted, *(digest(*other) for other in others)}) == len(others) + 1


# --- 10,000 damaged files ---------------------------------------------------------------------


def flip(data, rng):
    for k in rng.integers(len(data), size=rng.integers(1, 4)):
        data[k] ^= 1 << rng.integers(8)


def replace(data, rng):
    for k in rng.integers(len(data), size=rng.integers(1, 9)):
        data[k] = rng.integers(256)


def truncate(data, rng):
    del data[rng.integers(len(data)) :]


def delete(data, rng):
    start = rng.integers(len(data))
    del data[start : start + rng.integers(1, 65)]


def insert(data, rng):
    at = rng.integers(len(data) + 1)
    data[at:at] = rng.bytes(rng.integers(1, 65))


def splice(data, rng):
    source, target, n = *rng.integers(len(data), size=2), rng.integers(1, 129)
    piece = data[source : source + n]
    data[target : target + len(piece)] = piece


def repeat(data, rng):
    source, target, n = *rng.integers(len(data), size=2), rng.integers(1, 129)
    data[target:target] = data[source : source + n]


def swap(data, rng):
    a, b = sorted(rng.integers(len(data), size=2))
    n = min(int(rng.integers(1, 65)), b - a, len(data) - b)
    data[a : a + n], data[b : b + n] = data[b : b + n], data[a : a + n]


def resize_header(data, rng):
    size = int.from_bytes(data[:8], "little")
    sizes = (
        0,
        1,
        size - 8,
        size - 1,
        size + 1,
        size + 8,
        len(data),
        10**8,
        2**31,
        2**63,
        2**64 - 1,
    )
    data[:8] = (sizes[rng.integers(len(sizes))] % 2**64).to_bytes(8, "little")


def change_number(data, rng):
    """Another digit in the header: a shape, an offset, a parameter, the digest."""
    size = min(len(data), 8 + int.from_bytes(data[:8], "little"))
    digits = [k for k in range(8, size) if 48 <= data[k] < 58]
    for k in rng.choice(digits, rng.integers(1, 3)) if digits else ():
        data[k] = ord(str(rng.integers(10)))


MUTATIONS = (
    flip,
    replace,
    truncate,
    delete,
    insert,
    splice,
    repeat,
    swap,
    resize_header,
    change_number,
)


@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_a_damaged_file_is_refused(make, tmp_path):
    make(**({"hidden_size": 2} if make is char_lstm else {})).save(tmp_path / "whole")
    whole, refused = (tmp_path / "whole").read_bytes(), 0
    numlstm.load(tmp_path / "whole")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(5500):
        rng, data = np.random.default_rng(k), bytearray(whole)
        for mutation in rng.choice(len(MUTATIONS), 1 + (k % 5 == 0)):
            if len(data) > 1:
                MUTATIONS[mutation](data, rng)
        path = tmp_path / str(k)
        path.write_bytes(data)
        try:
            numlstm.load(path)
        except (ValueError, OSError) as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert data == whole, f"mutation {k} was not noticed"
        path.unlink()
    assert refused > 5000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB

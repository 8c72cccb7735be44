"""Data files that are not what they should be, made from good arrays."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
from mutations import SEED, change_bytes

KEYS = ("x_train", "y_train", "x_test", "y_test")
DTYPES = [
    "?", "i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "u1", "<u2", ">u4", "<u8", ">u8", "<f2", ">f2", "<f4",
    ">f4", "<f8", ">f8", "g", "c8", "c16", "S3", "U3", "M8[s]", "m8[s]", "V4", "O", "i4,f4", "(2,)i4",
]  # fmt: skip
SHAPES = [(), (0,), (6,), (6, 1), (6, 0), (0, 4), (5, 4), (4, 4), (3, 4, 4), (6, 2), (1, 6), (6, 1, 1, 1, 1), (1,) * 32]
SPECIAL = [np.nan, np.inf, -np.inf, 1e39, -1e300, 65536.0, 1e-320, -1, 2**31, 2**63, 99_999, 100_000, 255, 256]
ODD_HEADERS = (  # what follows descr, fortran_order and shape
    ("'<f8'", "False", "(1000000000000,)"),
    ("'|u1'", "False", "(4294967296, 4294967296)"),
    ("'|u1'", "False", "(99999999999999999999, 4)"),
    ("'|u1'", "False", "(0, 9223372036854775807)"),
    ("'|u1'", "False", "(-1, 4)"),
    ("'|u1'", "False", "(-2, -3)"),
    ("'|u1'", "False", "(True, 4)"),
    ("'|u1'", "False", "(1.5, 4)"),
    ("'|u1'", "False", "(6L, 4L)"),
    ("'|u1'", "True", "(6, 4)"),
    ("'|u1'", "1", "(6, 4)"),
    ("'|O'", "False", "(6, 4)"),
    ("'<f99'", "False", "(6, 4)"),
    ("[('a', '<i4'), ('a', '<i4')]", "False", "(6, 4)"),
    ("'|V0'", "False", "(6, 4)"),
    ("('|u1', (10000000,))", "False", "(6, 4)"),
    ("__import__('os')", "False", "(6, 4)"),
)
HEADERS = [f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}" for kind, order, shape in ODD_HEADERS]
HEADERS += ["{'descr': '|u1', 'shape': (6, 4), }", "[" * 200, "(" * 5000, "x" * 20_000, "", "\0\0"]
FILES = [b"", b"PK", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18, b"PK\x05\x06" + b"\xff" * 18, b"\0" * 999, b"not a zip"]
FILES += [
    b"\x93NUMPY", b"\x93NUMPY\x01\x00\x02\x00{}", b"\x80\x04N.", b"cos\nsystem\n.", b"<html>404</html>",
    b"\x1f\x8b\x08",
]  # fmt: skip


def good(draw: random.Random) -> dict[str, Any]:
    """Four arrays that can be learned from: small images, as bytes, whole numbers or floats."""
    rows, kind = draw.choice((6, 9)), draw.choice(("u1", "u1", "<f4", "<i4"))
    shape = draw.choice(((4, 4), (4, 4, 1), (5,)))
    arrays = {}
    for part, size in (("train", rows), ("test", 4)):
        values = [draw.randrange(256) for _ in range(size * int(np.prod(shape)))]
        arrays[f"x_{part}"] = np.array(values, kind).reshape(size, *shape)
        arrays[f"y_{part}"] = np.array([draw.randrange(3) for _ in range(size)], draw.choice(("u1", "<i8")))
    return arrays


def data_file(number: int) -> tuple[bytes, str]:
    """The content of data file ``number``, and what was done to it."""
    draw = random.Random(f"{SEED} data file {number}")
    way = draw.choice(("array", "array", "array", "keys", "bytes", "bytes", "header", "member", "file", "none"))
    arrays = good(draw)
    if way == "file":
        content = draw.choice(FILES)
        return content, f"the file is {content[:40]!r}"
    if way == "bytes":
        content = packed(arrays, draw)
        for _ in range(draw.choice((1, 3))):
            content = change_bytes(content, draw)
        return content, "bytes were changed"
    key, change = draw.choice(KEYS), "nothing was changed"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if way == "array":
            arrays[key], change = changed(arrays[key], draw)
            change = f"{key}: {change}"
        elif way == "keys":
            other = draw.choice(("x_train.npy", "X_train", "", "é", "x_train", "../x", "y", "x" * 300))
            change = f"{key} is named {other!r}"
            arrays[other] = arrays.pop(key) if draw.random() < 0.8 else arrays[key]
        elif way in ("header", "member"):
            arrays[key], change = member(way, draw)
            change = f"{key}: {change}"
        return packed(arrays, draw), change


def changed(array: np.ndarray, draw: random.Random) -> tuple[Any, str]:
    """Another type, shape, order, length or a special value."""
    match draw.choice(("type", "shape", "special", "special", "order", "length", "scalar")):
        case "type":
            kind = draw.choice(DTYPES)
            made = np.empty(array.shape, np.dtype(kind))
            if made.dtype.names is None and made.shape == array.shape and made.dtype.kind not in "VO":
                made = array.astype(np.int64).astype(made.dtype)
            return made, f"type {kind}"
        case "shape":
            shape = draw.choice(SHAPES)
            return np.resize(array, shape), f"shape {shape}"
        case "special":
            value = draw.choice(SPECIAL)
            whole = isinstance(value, int) and draw.random() < 0.7
            kind = draw.choice(("<i8", ">i8", "<u8") if whole else ("<f4", "<f8", ">f8", "g"))
            made = array.astype(kind)
            made.reshape(-1)[draw.randrange(made.size)] = np.array(value).astype(kind)
            return made, f"{value} among {kind}"
        case "order":
            return np.asfortranarray(array), "Fortran order"
        case "length":
            rows = draw.choice((0, 1, len(array) - 1, len(array) + 1))
            return np.resize(array, (rows, *array.shape[1:])), f"{rows} rows"
    return draw.choice((5, 5.0, "text", None, [1, 2], {"a": 1}, b"bytes")), "no array of numbers"


def member(way: str, draw: random.Random) -> tuple[bytes, str]:
    """The bytes of a member of the archive: a header that claims something, or no array at all."""
    if way == "member":
        content = draw.choice((*FILES, b"\x80\x04K\x05.", bytes(range(256))))
        return content, f"the member is {content[:40]!r}"
    header = draw.choice(HEADERS)
    version, form = draw.choice(((1, "<H"), (2, "<I"), (3, "<I"), (9, "<H")))
    length = draw.choice((len(header), len(header), 1, 65_535))
    start = b"\x93NUMPY" + bytes([version, 0]) + struct.pack(form, length) + header.encode()
    return start + bytes(draw.choice((0, 24, 25, 1000))), f"version {version}, length {length}, header {header[:90]}"


def packed(arrays: dict[str, Any], draw: random.Random) -> bytes:
    """The archive; bytes among the arrays become members as they are."""
    buffer = io.BytesIO()
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, array in arrays.items():
            content = array
            if not isinstance(array, bytes):
                one = io.BytesIO()
                np.lib.format.write_array(one, np.asanyarray(array), allow_pickle=True)
                content = one.getvalue()
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()

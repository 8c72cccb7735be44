"""Wrong input, made from right input. Every case is made from its number alone, so that one can be looked at."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import yaml

SEED = 20_260
CONFIGS = sorted((Path(__file__).parents[2] / "nn_train" / "presets").glob("*.yaml"))

NUMBERS = [
    "0", "-1", "-0", "1", "1.5", "1e3", "1e-320", "1e308", "1e400", "-1e400", ".nan", ".inf", "-.inf", "nan", "inf",
    "NaN", "Infinity", "0x", "0x1f", "0b_", "0o17", "017", "1_000", "1:60:60", "190:20:30", "1:1.5", "2147483647",
    "2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "3.0", "True", "true", "no", "null", "~", "none", "None",
]  # fmt: skip
WORDS = ["", " ", "{a: 1}", "{a: [", "\u2028", "x" * 300, "y/" * 3000]
WORDS += [
    "x", "mlp", "cnn", "grid", "json:loads", "sys:nope", "a..b:c", "os.path:", ":f", "a:b:c", "é", "name", "../x",
    "/", "/etc", "..", "\u202e", "ｍｎｉｓｔ", "１２", "~nobody-here/x", "val_loss", "none", "[]", "a,b", ",", "{}",
    "%s",
    "{0}", "*", "&a", "!!python/name:os.system",
]  # fmt: skip
LONG = ["9" * 5000, "x" * 100_000, "[" * 300, "0x" + "f" * 5000, "1" + ":59" * 700 + ".5", "k: " * 400]
RAW = ["\0", "\x1b[31m", "a\nb", "\r", "\x7f", "\x85", "\ud800", "\udcff"]  # argv gives surrogates for other bytes
FLOW = [  # as YAML, on one line
    "[]", "{}", "[[]]", "[1, 2, 3]", "[1, 2]", "[2, 1]", "[null, null]", "[.nan, .nan]", "[-.inf, .inf]", "[a, a]",
    "{a: 1}", "{1: 2}", "{null: 1}", "{? [1] : 2}", "{? {a: 1} : 2}", "{a: 1, a: 2}", "{<<: {a: 1}}", "{<<: 5}", "=",
    "<<", "&a [*a]", "&a {b: *a}", "*missing", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!binary aGk=",
    "!!binary '%'", "!!int ''", "!!int x", "!!float x", "!!bool x", "!!null x", "!!timestamp x", "!!map [1]", "!!map 5",
    "!!seq {a: 1}", "!!str [1]", "!!python/object/apply:os.system [ls]", "!own x", "2024-01-31", "2024-13-45",
    "2024-01-31T25:00:00Z", "'\\0'", '"\\0"', '"\\x1b[2J"', '"\\n"', '"\\uD800"', '"\\U00110000"', "'''", '"', "@x",
    "`x`", "%x", "| x", "> x", "- x", "? x", "a: b", "{choice: []}", "{choice: 5}", "{choice: [none, 0.5]}",
    "{choice: [[1]]}", "{choice: [1, 1]}", "{choice: [1, .nan]}", "{grid: [mlp, cnn]}", "{uniform: [0, 1]}",
    "{uniform: [0, .inf]}", "{uniform: [0]}", "{loguniform: [0, 1]}", "{loguniform: [1.0e-320, 1.0e+308]}",
    "{quantized: [0, .inf, 1]}",
    "{quantized: [-.inf, 1, 1]}", "{quantized: [0, 1, 1.0e-320]}", "{quantized: [0, 1.0e+308, 1.0e-308]}",
    "{quantized: [0, 1, 0]}", "{integer: [1, 9223372036854775808]}", "{log_integer: [1, 4]}", "{integer: [1.5, 4]}",
    "{times: [train.batch_size, .inf]}", "{times: [train.batch_size, .nan]}", "{times: [train.batch_size, 1.0e+308]}",
    "{times: [[1], 2]}", "{times: [{a: 1}, 2]}", "{times: [nothing, 2]}", "{times: 5}", "{times: [model.dropout, 2]}",
    "{by: {model.name: {mlp: 1, cnn: 2}}}", "{by: {nothing: {a: 1}}}", "{by: {train.epochs: {1: 1}}}", "{by: 5}",
    "{by: {train.batch_size: {64: 1, 128: {by: 1}, 256: {choice: [1]}}}}", "{by: {[1]: {a: 1}}}", "{other: [1]}",
    "{choice: [1], grid: [2]}", "{[a]: [1]}", "{top: 3, seeds: 3}", "{top: .nan, seeds: 1}", "{top: true, seeds: 1}",
]  # fmt: skip
HOSTILE = [*NUMBERS, *FLOW, *LONG, *[word for word in WORDS if "\n" not in word]]
LINES = ["---", "...", "%YAML 9.9", "%TAG ! x", "\t", "\tname: x", "- a", "? a", "name", "x: 1", "train:", "train: {}"]
LINES += ["search: {space: {}}", "pipeline: {models: {a: }}", "model: {name: &a cnn}", "name: *a", "train.epochs: 2"]
LINES += ["search:\n  space:\n    model.dropout: {by: {model.nam: {a: 1}}}\n    model.nam: {choice: [a]}", "<<: {a: 1}"]
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp500", "utf-7")


def job_file(number: int) -> bytes:
    """The content of job file ``number``, one to three steps away from one of ``nn_train/presets``."""
    draw = random.Random(f"{SEED} job file {number}")
    text = draw.choice(CONFIGS).read_text()
    content = text.encode()
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        change = draw.choice((change_tree, change_tree, change_tree, change_lines, change_lines, change_bytes, recode))
        content = change(content, draw)
    return content


def change_tree(content: bytes, draw: random.Random) -> bytes:
    """Another value or key somewhere, a key added or left out; as it is when it is no YAML any more."""
    try:
        tree = yaml.safe_load(content)
    except Exception:
        return change_bytes(content, draw)
    places = [place for place in walk(tree) if place]
    if not places:
        return content
    *way, last = draw.choice(places)
    branch: Any = tree
    for key in way:
        branch = branch[key]
    action = draw.choice(("value", "value", "value", "key", "delete", "add"))
    if isinstance(branch, list) or action == "value":
        branch[last] = "HOSTILE"
    elif action == "key":
        branch["HOSTILE"] = branch.pop(last)
    elif action == "delete":
        del branch[last]
    else:
        branch[draw.choice(("name", "train", "space", "train.epochs", "model.dropout", "models", "x"))] = "HOSTILE"
    return re.sub("HOSTILE", lambda _: draw.choice(HOSTILE), yaml.safe_dump(tree, sort_keys=False)).encode()


def walk(tree: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value: the keys that lead to it. Few levels: a value may hold itself."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [way, *(place for key, value in pairs if len(way) < 9 for place in walk(value, (*way, key)))]


def change_lines(content: bytes, draw: random.Random) -> bytes:
    """Lines left out, repeated, moved, indented, or one put in between."""
    lines = content.split(b"\n")
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    match draw.choice(("drop", "repeat", "swap", "indent", "cut", "insert", "insert")):
        case "drop":
            del lines[at]
        case "repeat":
            lines.insert(other, lines[at])
        case "swap":
            lines[at], lines[other] = lines[other], lines[at]
        case "indent":
            lines[at] = lines[at].strip() if draw.random() < 0.5 else b"  " + lines[at]
        case "cut":
            lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)]
        case "insert":
            lines.insert(at, draw.choice(LINES).encode())
    return b"\n".join(lines)


def change_bytes(content: bytes, draw: random.Random) -> bytes:
    """Flipped, inserted or lost bytes."""
    changed = bytearray(content)
    if draw.random() < 0.2:
        return bytes(changed[: draw.randrange(len(changed) + 1)])
    for _ in range(draw.choice((1, 2, 8))):
        at = draw.randrange(len(changed) + 1)
        if draw.random() < 0.5 and at < len(changed):
            changed[at] ^= 1 << draw.randrange(8)
        else:
            changed[at:at] = bytes([draw.choice(b"\0\x1b\xff\xc3:{}[]\"'#&*!|>%@`-?,\t\r\n 0")])
    return bytes(changed)


def recode(content: bytes, draw: random.Random) -> bytes:
    """The same text in another encoding."""
    return content.decode(errors="replace").encode(draw.choice(ENCODINGS), errors="replace")


def command_line(number: int, fields: list[str]) -> list[str]:
    """The words of command line ``number``: some settings, of which one or more are wrong."""
    draw = random.Random(f"{SEED} command line {number}")
    words: list[str] = []
    for _ in range(draw.choice((0, 1, 1, 2, 4))):
        name = draw.choice([*fields, *fields, "config", "verbose", *WORDS])
        if draw.random() < 0.15:
            name = change_bytes(name.encode(), draw).decode(errors="surrogateescape")
        value = draw.choice([*NUMBERS, *WORDS, *WORDS, *LONG, *RAW, *FLOW])
        match draw.choice(("two", "two", "two", "equals", "equals", "alone", "bare")):
            case "two":
                words += [f"--{name}", value]
            case "equals":
                words += [f"--{name}={value}"]
            case "alone":
                words += [f"--{name}"]
            case "bare":
                words += [value]
    return words

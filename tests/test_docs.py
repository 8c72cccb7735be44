"""The documents name files, functions, fields and modules that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from nn_train.config import Config, config_from_dict
from nn_train.config.parse import TOP_FIELDS, field_types, parse_yaml
from nn_train.config.schema import SECTIONS
from nn_train.config.space import parse_space

ROOT = Path(__file__).parents[1]
DOCS = [*sorted(ROOT.glob("[A-Z]*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIAL = ROOT / "docs" / "from-the-tutorial.md"
FOLDERS = ("nn_train", "jobs", "cluster", "benchmarks", "tests", "docs", r"\.ci")
FILE_ENDINGS = ("json", "jsonl", "yaml", "csv", "md", "py", "npz", "keras", "html")
KERAS_METHODS = {"model.fit", "model.evaluate", "model.predict", "model.save", "optimizer.apply"}

PATH = re.compile(rf"(?<![\w./:-])(?:{'|'.join(FOLDERS)})/[\w./-]*")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`]+)`")
FIELD = rf"(?:{'|'.join(SECTIONS)})(?:\.[A-Za-z_]\w*)+"
# [`loop.py`](../nn_train/engine/loop.py) `Loop.prepare`: `a line of it`
FUNCTION_OF_LINK = re.compile(r"\]\(([^)\s]+\.py)\)\s`([A-Za-z_][\w.]*)`(?::\s`([^`]+)`)?")
FUNCTION_IN_PATH = re.compile(r"`([A-Za-z_][\w.]*)`\s+(?:in\s+|\()`([\w./]+\.py)`")

each_document = pytest.mark.parametrize("document", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())


def without_blocks(text):
    """The text without its fenced blocks, which may hold any language."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def blocks(text):
    """The fenced blocks."""
    return re.findall(r"^```.*?^```$", text, flags=re.DOTALL | re.MULTILINE)


def linked(document):
    """What the document's links to files point at: (target, path)."""
    for target in LINK.findall(without_blocks(document.read_text())):
        if "://" not in target and not target.startswith("#"):
            yield target, document.parent / target.partition("#")[0]


def module(name):
    """The file that a document calls by its path from the root, or by its name alone."""
    if "/" in name:
        return ROOT / name
    found = [path for folder in ("nn_train", "jobs", "benchmarks", "tests") for path in (ROOT / folder).rglob(name)]
    assert found, f"there is no {name}"
    return found[0] if len(found) == 1 else None


def source_of(file, dotted):
    """The source of a function, class, method or constant of a file; None where there is none."""
    text = file.read_text()
    node: ast.AST = ast.parse(text)
    for part in dotted.split("."):
        inner = [one for one in getattr(node, "body", ()) if part in names_of(one)]
        if not inner:
            return None
        node = inner[0]
    return ast.get_source_segment(text, node)


def names_of(node):
    """What a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def is_quoted(line, source):
    """Whether the line stands in the source; white space aside, and with anything in the place of ``…``."""
    dense = re.sub(r"\s", "", source)
    pieces = [re.escape(piece) for piece in re.sub(r"\s", "", line).split("…")]
    return re.search(".*".join(pieces), dense) is not None


def result_fields():
    """``section.field`` names in result.json that look like fields of the config."""
    tree = ast.parse((ROOT / "nn_train" / "runs" / "record.py").read_text())
    function = next(node for node in tree.body if "finished_record" in names_of(node))
    record = next(node.value for node in ast.walk(function) if isinstance(node, ast.Return))
    for key, value in zip(record.keys, record.values, strict=True):
        if isinstance(value, ast.Dict):
            yield from (f"{key.value}.{inner.value}" for inner in value.keys)


def named_fields(text):
    """Every ``--section.field``, and every ``section.field`` that stands in back-ticks or is a key of a YAML block."""
    found = re.findall(rf"--({FIELD})", text)
    found += re.findall(rf"^\s*({FIELD}): ", "\n".join(blocks(text)), flags=re.MULTILINE)
    for span in SPAN.findall(without_blocks(text)):
        match = re.match(rf"({FIELD})(?=$|[\s:=])", span)
        if match and match[1].rpartition(".")[2] not in FILE_ENDINGS:
            found.append(match[1])
    return found


@each_document
def test_files_exist(document):
    text = document.read_text()
    missing = [target for target, path in linked(document) if not path.exists()]
    paths = {path.rstrip(".-") for path in PATH.findall(re.sub(LINK, "", text))}
    missing += [path for path in sorted(paths) if not (ROOT / path).exists()]
    assert not missing


@each_document
def test_python_files_that_are_named_alone_exist(document):
    for span in SPAN.findall(without_blocks(document.read_text())):
        if re.fullmatch(r"\w+\.py", span):
            module(span)


@each_document
def test_functions_are_in_the_files_beside_them(document):
    for name, path in FUNCTION_IN_PATH.findall(without_blocks(document.read_text())):
        file = module(path)
        assert file is None or source_of(file, name), f"{path} has no {name}"


def test_the_functions_and_lines_of_the_tutorial_are_in_their_files():
    found = FUNCTION_OF_LINK.findall(TUTORIAL.read_text())
    assert len(found) > 30
    for target, name, line in found:
        source = source_of(TUTORIAL.parent / target, name)
        assert source, f"{target} has no {name}"
        assert not line or is_quoted(line, source), f"{name} in {target} has no line {line}"


@each_document
def test_fields_exist(document):
    known = {*field_types(), *result_fields(), *KERAS_METHODS} - set(TOP_FIELDS)
    unknown = [name for name in named_fields(document.read_text()) if ".".join(name.split(".")[:2]) not in known]
    assert not unknown


@each_document
def test_modules_that_are_run_exist(document):
    text = document.read_text()
    names = set(re.findall(r"python -m ((?:jobs|benchmarks)\.\w+)", text)) | set(re.findall(r"`(jobs\.\w+)", text))
    missing = [name for name in sorted(names) if not (ROOT / f"{name.replace('.', '/')}.py").exists()]
    assert not missing


@each_document
def test_job_files_and_spaces_that_are_shown_are_valid(document):
    for block in re.findall(r"^```yaml$(.*?)^```$", document.read_text(), flags=re.DOTALL | re.MULTILINE):
        content = parse_yaml(block, document.name)
        is_job = set(content) <= {*SECTIONS, *TOP_FIELDS}
        config = config_from_dict(content) if is_job else Config()
        assert parse_space(config.search.space if is_job else content, config) is not None


def test_the_pythons_that_the_documents_name_are_those_that_the_package_takes():
    from packaging.specifiers import SpecifierSet

    text = (ROOT / "pyproject.toml").read_text()
    taken = SpecifierSet(re.search(r'^requires-python = "(.+)"$', text, flags=re.MULTILINE)[1])
    pythons = [f"3.{minor}" for minor in range(30) if f"3.{minor}.1" in taken]
    assert f"Python {pythons[0]} to {pythons[-1]}" in (ROOT / "README.md").read_text()
    assert f"{pythons[0]} to {pythons[-1]}" in (ROOT / "docs" / "launch.md").read_text()
    assert set(re.findall(r"Python :: (3\.\d+)", text)) <= set(pythons)

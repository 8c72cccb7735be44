"""YAML as job files may use it: plain values, no repeated keys, nothing that grows beyond what a person wrote."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import Any

import yaml

MOST_VALUES = 20_000
DEEPEST = 50


class YamlError(ValueError):
    """The text is no such YAML. ``line`` counts from 1; None where it is not known."""

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem)
        self.line = line


def load(text: str) -> Any:
    """The content of a text. Raises YamlError."""
    try:
        return yaml.load(text, Loader=StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise YamlError(problem, mark.line + 1 if mark else None) from error
    except RecursionError as error:
        raise YamlError(f"it is nested more than {DEEPEST} levels deep", None) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # for nonsense under a tag
        raise YamlError(str(error), None) from error


def dump(content: object) -> str:
    """The text that stands for plain values."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def dump_line(content: list[Any] | dict[str, Any]) -> str:
    """The same in one line: ``[32, 16]``."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**9).strip()


class StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which makes no Python objects, without what it lets pass silently or in tracebacks."""

    def get_single_node(self) -> yaml.Node | None:
        """The document. Its aliases, followed, must not make it huge or endless."""
        document: yaml.Node | None = super().get_single_node()
        waiting = [(document, 1)] if document is not None else []
        for seen in itertools.count(1):
            if not waiting:
                break
            node, depth = waiting.pop()
            if seen > MOST_VALUES or depth > DEEPEST:
                raise problem(f"more than {MOST_VALUES:,} values or {DEEPEST} levels, aliases followed", node)
            if isinstance(node, yaml.CollectionNode):
                parts = itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
                waiting += [(part, depth + 1) for part in parts]
        return document

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """PyYAML keeps the last of repeated keys silently."""
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise problem(f"the key {key!r} stands twice or cannot be a key", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """No setting needs more than 64 bits; Python cannot even show numbers of more than 4,300 digits."""
        number: int = super().construct_yaml_int(node)
        if not -(2**63) <= number < 2**63:
            raise problem("the number is too large; it must fit 64 bits", node)
        return number


StrictLoader.add_constructor("tag:yaml.org,2002:int", StrictLoader.construct_yaml_int)


def problem(text: str, node: yaml.Node) -> yaml.YAMLError:
    """An error at the place of ``node``."""
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)

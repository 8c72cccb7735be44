"""Numbers of which graphs read the present value, wherever Python computes with them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

MADE_OF_ONE = 4  # different numbers that Keras makes of one at most; AlphaDropout three
ITSELF = "itself"  # stands in an expression for the number that is set
OPERATORS: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "pow": operator.pow,
}
ROOT = "root"
Expression = str | float | tuple[Any, ...]  # ``ITSELF``, a number, or an operator's name with expressions


class GraphNumber(float):
    """A number to Python, as is what Python's arithmetic makes of it; as a tensor it is read from a variable.

    So code of Keras' and TensorFlow's that computes with ``rate`` and ``1 / (1 - rate)`` traces a graph for any rate.
    Python computes in float64, and the result is rounded once, to the dtype of the tensor, as that of a constant.

    Attributes:
        source: where its value comes from.
        expression: how.
    """

    source: NumberSource
    expression: Expression

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        return self.source.read(self.expression, dtype or tf.float32)

    def __neg__(self) -> GraphNumber:
        return self.made_by("mul", -1.0, self)

    def made_by(self, name: str, *operands: object) -> GraphNumber:
        """The result of an operator."""
        return self.source.number((name, *(getattr(one, "expression", one) for one in operands)))


def add_operator(name: str) -> None:
    """Let Python's arithmetic give such numbers again."""

    def forward(self: GraphNumber, other: object) -> Any:
        return self.made_by(name, self, other) if isinstance(other, int | float) else NotImplemented

    def reflected(self: GraphNumber, other: object) -> Any:
        return self.made_by(name, other, self) if isinstance(other, int | float) else NotImplemented

    setattr(GraphNumber, f"__{name}__", forward)
    setattr(GraphNumber, f"__r{name}__", reflected)


for _name in OPERATORS:
    add_operator(_name)


def root(number: float) -> float:
    """``math.sqrt``, which would give a plain number."""
    return number.made_by(ROOT, number) if isinstance(number, GraphNumber) else math.sqrt(number)


class NumberSource:
    """A number that can be set, and the variables that graphs read.

    Attributes:
        variables: one for each expression that a graph has of it; float64, no part of any model.
    """

    def __init__(self, value: float) -> None:
        self.value = value
        self.expressions: list[Expression] = []
        self.variables = [tf.Variable(0.0, trainable=False, dtype=tf.float64) for _ in range(MADE_OF_ONE)]

    def number(self, expression: Expression = ITSELF) -> GraphNumber:
        made = GraphNumber(value_of(expression, self.value))
        made.source, made.expression = self, expression
        return made

    def read(self, expression: Expression, dtype: tf.DType) -> tf.Tensor:
        """The value that an expression has when a graph runs."""
        if expression not in self.expressions:
            self.expressions.append(expression)
            with tf.init_scope():  # now, and not in the graph that is traced
                self.set(self.value)
        return tf.cast(self.variables[self.expressions.index(expression)], dtype)

    def set(self, value: float) -> None:
        self.value = value
        for variable, expression in zip(self.variables, self.expressions, strict=False):
            variable.assign(value_of(expression, value))


def value_of(expression: Expression, value: float) -> float:
    """Of an expression, where the number that is set has this value."""
    if not isinstance(expression, tuple):
        return value if isinstance(expression, str) else expression
    name, *operands = expression
    values = [value_of(one, value) for one in operands]
    return math.sqrt(*values) if name == ROOT else OPERATORS[name](*values)

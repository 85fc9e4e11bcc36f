"""How a kernel is given a `State`: by one pointer.

To numba a tuple of forty arrays is three hundred numbers. Every call would pass them all,
and every line of a kernel that names the state would unpack it: a kernel of one line became
1,700 instructions for LLVM to take away again, and compiling all of them took four times as
long. So a kernel is given the address of `State.table`, and reads from there
where an array begins and how many rows it has; the columns are known (`ARRAYS`), except an
account's. Inside a kernel ``s.ranks`` is an array like any other.

Nobody writes a table that a kernel may read (a state that grows gets another one), and LLVM is
told so: what it has read once it keeps as long as it likes. Arrays read from a table have no
owner, so that only lean kernels (`sim.compiled`) take a state.
"""

# numba has types for few of the things used here.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from sim.network.kernels.state import ADDRESS, ARRAYS, COLUMNS, LINEAR, ROWS, State

__all__ = ["StateType"]


class StateType(types.Type):
    """A `State`, inside kernels."""

    def __init__(self) -> None:
        super().__init__(name="State")


STATE = StateType()

ARRAY_TYPES = {
    name: types.Array(from_dtype(np.dtype(kind)), 1 if columns == LINEAR else 2, "C")
    for name, (kind, columns) in ARRAYS.items()
}


@typeof_impl.register(State)
def _typeof(value: State, context: Any) -> StateType:
    return STATE


@register_model(StateType)
class _StateModel(models.OpaqueModel):
    """A pointer."""


@unbox(StateType)
def _unbox(kind: Any, state: Any, c: Any) -> Any:
    """The address of the table; the caller's reference to the state keeps it alive."""
    table = c.pyapi.tuple_getitem(state, State._fields.index("table"))
    words = types.Array(types.int64, 2, "C")
    found = c.context.make_array(words)(c.context, c.builder)
    failed = c.pyapi.numba_array_adaptor(table, c.builder.bitcast(found._getpointer(), cgutils.voidptr_t))
    address = c.builder.bitcast(found.data, cgutils.voidptr_t)
    return NativeValue(address, is_error=cgutils.is_not_null(c.builder, failed))


@infer_getattr
class _Attributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, state: Any, name: str) -> Any:  # type: ignore[override]
        return ARRAY_TYPES.get(name)


@lower_getattr_generic(StateType)
def _get_array(context: Any, builder: Any, state: Any, pointer: Any, name: str) -> Any:
    kind, width = ARRAY_TYPES[name], ARRAYS[name][1]
    row = 3 * list(ARRAYS).index(name)

    def read(column: int, of: Any) -> Any:
        table = builder.bitcast(pointer, of.as_pointer())
        word = builder.load(builder.gep(table, [cgutils.intp_t(row + column)]))
        word.set_metadata("invariant.load", builder.module.add_metadata([]))
        return word

    array = context.make_array(kind)(context, builder)
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    shape = [read(ROWS, cgutils.intp_t)]
    strides = [cgutils.intp_t(size)]
    if width != LINEAR:
        columns = cgutils.intp_t(width) if width > 0 else read(COLUMNS, cgutils.intp_t)
        shape.append(columns)
        strides.insert(0, builder.mul(columns, cgutils.intp_t(size)))
    data = read(ADDRESS, context.get_data_type(kind.dtype).as_pointer())
    populate_array(
        array, data=data, shape=shape, strides=strides, itemsize=cgutils.intp_t(size), meminfo=None
    )
    return array._getvalue()

"""The traced value: looks like an array, records what is done to it."""

import opcode
import sys

import numpy as np

from ._lines import number_call, user_line

_STORE_SUBSCR = opcode.opmap["STORE_SUBSCR"]
_PLAIN = (float, int, bool, complex)


class _Surface(dict):
    """Functions of `gradiverse.ops` by name, looked up when first used."""

    def __missing__(self, name):
        from . import ops

        found = self[name] = getattr(ops, name)
        return found


class _Methods(dict):
    """Entries of `gradiverse.ops.METHODS`, looked up when first used."""

    def __missing__(self, name):
        from . import ops

        found = self[name] = ops.METHODS[name]
        return found


_ops = _Surface()
_methods = _Methods()


def _operand(x):
    """Is x something that arithmetic can take?"""
    return isinstance(x, (Var, np.ndarray, np.generic, *_PLAIN, list, tuple)) or (
        hasattr(x, "__array__") and not hasattr(x, "__array_ufunc__")
    )


def _binary(name, swapped=False, arithmetic=True):
    def method(self, other):
        kind = type(other)
        if kind is not Var and kind not in _PLAIN and not _operand(other):
            return NotImplemented
        if self.dtype.__class__ is str or (
            kind is Var and other.dtype.__class__ is str
        ):
            return _fixed(name, other, self) if swapped else _fixed(name, self, other)
        out = _ops[name](other, self) if swapped else _ops[name](self, other)
        if (
            arithmetic
            and self.weak
            and (kind in _PLAIN or (kind is Var and other.weak))
        ):
            out.weak = True
        return out

    return method


def _fixed(name, a, b):
    """Sums and differences of quantised values, the only arithmetic they have."""
    from .graph import emit

    same = isinstance(a, Var) and isinstance(b, Var)
    same = same and a.dtype == b.dtype and a.shape == b.shape
    if not same or name not in ("add", "subtract"):
        raise TypeError(
            f"quantised values can be added and subtracted with others of their shape"
            f" and dtype; {name} of {_named(a)} and {_named(b)} is not offered: use"
            " gv.dequantize first"
        )
    return emit("add" if name == "add" else "sub", (a, b))


def _named(x):
    return f"{x.dtype}{list(x.shape)}" if isinstance(x, Var) else type(x).__name__


def _unary(name):
    def method(self):
        if self.dtype.__class__ is str:
            if name == "negative":
                from .graph import emit

                return emit("neg", (self,))
            raise TypeError(f"{name} of a quantised value: use gv.dequantize first")
        out = _ops[name](self)
        if self.weak and out is not self:
            out.weak = True
        return out

    return method


def _method(name):
    def method(self, *args, **kwargs):
        return _methods[name](self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`."
    return method


class Var:
    """A value of a trace.

    Stands for an array inside a function that is being differentiated, compiled or
    batched. It has NumPy's operators, methods and indexing, and NumPy's functions
    work on it. It cannot be assigned to.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype (or "q32", "q64" for quantised values)
    weak : bool
        Made of Python scalars alone: takes part in promotion like one.
    """

    __slots__ = ("__weakref__", "dtype", "id", "owner", "pyint", "shape", "weak")
    __array_priority__ = 1000.0
    __hash__ = object.__hash__

    def __init__(self, trace, vid, dtype, shape, weak=False):
        self.owner = trace
        self.id = vid
        self.dtype = dtype
        self.shape = shape
        self.weak = weak
        self.pyint = None

    # --- shape ------------------------------------------------------------------
    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """Number of elements."""
        n = 1
        for k in self.shape:
            n *= k
        return n

    @property
    def nbytes(self):
        """Bytes of the value."""
        return self.size * self.itemsize

    @property
    def itemsize(self):
        """Bytes of one element."""
        return {"q32": 4, "q64": 8}.get(self.dtype) or self.dtype.itemsize

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of a traced value without axes")
        return self.shape[0]

    def __iter__(self):
        if not self.shape:
            raise TypeError("iteration over a traced value without axes")
        return (self[i] for i in range(self.shape[0]))

    @property
    def T(self):
        """All axes reversed."""
        return _methods["T"](self)

    @property
    def mT(self):
        """The last two axes swapped."""
        return _ops["swapaxes"](self, -1, -2)

    @property
    def real(self):
        """Real part."""
        return _ops["real"](self)

    @property
    def imag(self):
        """Imaginary part."""
        return _ops["imag"](self)

    @property
    def flat(self):
        """The elements in C order."""
        return iter(self.ravel())

    # --- indexing ---------------------------------------------------------------
    def __getitem__(self, index):
        return _ops["getitem"](self, index)

    def __setitem__(self, index, value):
        raise TypeError(
            f"a traced value cannot be assigned to ({user_line()}); build the result"
            " with gv.ops.where, concatenate or gv.ops.scatter_add"
        )

    def __contains__(self, item):
        return bool((self == item).any())

    # --- Python asks for the value ----------------------------------------------
    def _value(self, purpose):
        return self.owner.evaluate(self, purpose)

    def _scalar(self, purpose):
        if self.size != 1:
            raise TypeError(
                f"{purpose} needs one element, this traced value has shape {self.shape}"
            )
        return self._value(purpose).reshape(-1)[0]

    def __bool__(self):
        if self.size != 1:
            raise ValueError(
                f"the truth value of a traced array of shape {self.shape} is ambiguous;"
                " use .any() or .all()"
            )
        return bool(self._value("a condition (if, while, and, or, not)").reshape(-1)[0])

    def __float__(self):
        self._refuse_silent_cut(sys._getframe(1))
        return float(self._scalar("float()"))

    def __int__(self):
        self._refuse_silent_cut(sys._getframe(1))
        return int(self._scalar("int()"))

    def __complex__(self):
        self._refuse_silent_cut(sys._getframe(1))
        return complex(self._scalar("complex()"))

    def _refuse_silent_cut(self, frame):
        """``a[i] = x`` on a plain array, and math.exp(x), ask for float(x) unseen."""
        if frame.f_code.co_code[frame.f_lasti] == _STORE_SUBSCR:
            raise TypeError(
                f"a traced value is assigned to an element of a plain array at"
                f" {user_line()}, which would cut the derivative; collect the values in"
                " a list and use np.stack or np.concatenate, or write float(x) if the"
                " number is meant"
            )
        name = number_call(frame)
        if name:
            raise TypeError(
                f"{name} at {user_line()} takes the number and would cut the"
                " derivative; use NumPy's function (or x.astype), or"
                f" {name}(float(x)) if the number is meant"
            )

    def __index__(self):
        if self.pyint is not None:
            return self.pyint
        if self.dtype not in ("int32", "int64", "bool"):
            raise TypeError(f"a traced {self.dtype} cannot be an index or a count")
        return int(self._scalar("an index or a count"))

    def __round__(self, digits=0):
        return _ops["round"](self, digits or 0)

    def __format__(self, spec):
        if spec and not self.shape:
            return format(self._scalar("format()").item(), spec)
        return repr(self)

    def item(self, *index):
        """The value as a Python number."""
        return self._value("item()").item(*index)

    def tolist(self):
        """The value as nested lists of Python numbers."""
        return self._value("tolist()").tolist()

    def __array__(self, dtype=None, copy=None):
        if self.dtype not in ("int32", "int64", "bool"):
            raise TypeError(
                f"NumPy wants the value of a traced {self.dtype}{list(self.shape)} at"
                f" {user_line()}, which would cut the derivative without a word: leave"
                " np.asarray out; instead of np.array([x, y]) write np.stack([x, y]),"
                " instead of a[i] = x use gv.ops.where or np.concatenate; if the value"
                " is meant, take gv.evaluate(x)"
            )
        purpose = "np.asarray (a plain array a[i] takes: gv.ops.take(a, i, axis=0))"
        return np.array(self._value(purpose), dtype=dtype)

    # --- NumPy's protocols ------------------------------------------------------
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if kwargs.get("out") is not None or method == "at":
            raise TypeError(
                f"np.{ufunc.__name__} at {user_line()} is to write a traced value into"
                " a plain array (a += x, out=a): write a = a + x instead"
            )
        from . import ops

        return ops.array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        basic = _BASIC.get(func)
        if basic is not None:
            return basic(*args, **kwargs)
        from . import ops

        return ops.array_function(func, args, kwargs)

    # --- copies -----------------------------------------------------------------
    def copy(self, order="C"):
        """The same value: traced values never change."""
        return self

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError(
            "a traced value cannot be pickled; return it from the function instead"
        )

    def __repr__(self):
        what = f"shape={self.shape}, dtype={self.dtype}"
        if self.owner.missing([self.id]) is None and self.size <= 1000:
            text = np.array2string(
                self._value("repr()"), prefix="Var(", separator=", ", threshold=20
            )
            return f"Var({text}, {what})"
        return f"Var({what})"

    # --- operators --------------------------------------------------------------
    __add__ = _binary("add")
    __radd__ = _binary("add", True)
    __sub__ = _binary("subtract")
    __rsub__ = _binary("subtract", True)
    __mul__ = _binary("multiply")
    __rmul__ = _binary("multiply", True)
    __truediv__ = _binary("true_divide")
    __rtruediv__ = _binary("true_divide", True)
    __floordiv__ = _binary("floor_divide")
    __rfloordiv__ = _binary("floor_divide", True)
    __mod__ = _binary("mod")
    __rmod__ = _binary("mod", True)
    __pow__ = _binary("power")
    __rpow__ = _binary("power", True)
    __matmul__ = _binary("matmul", False, False)
    __rmatmul__ = _binary("matmul", True, False)
    __and__ = _binary("bitwise_and", False, False)
    __rand__ = _binary("bitwise_and", True, False)
    __or__ = _binary("bitwise_or", False, False)
    __ror__ = _binary("bitwise_or", True, False)
    __xor__ = _binary("bitwise_xor", False, False)
    __rxor__ = _binary("bitwise_xor", True, False)
    __eq__ = _binary("equal", False, False)
    __ne__ = _binary("not_equal", False, False)
    __lt__ = _binary("less", False, False)
    __le__ = _binary("less_equal", False, False)
    __gt__ = _binary("greater", False, False)
    __ge__ = _binary("greater_equal", False, False)
    __neg__ = _unary("negative")
    __abs__ = _unary("absolute")
    __invert__ = _unary("invert")

    def __pos__(self):
        return self

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self


for _name in (
    "all any argmax argmin argsort astype clip conj conjugate cumprod cumsum diagonal"
    " dot flatten max mean min nonzero prod ptp ravel repeat reshape round searchsorted"
    " sort squeeze std sum swapaxes take trace transpose var"
).split():
    setattr(Var, _name, _method(_name))


def _dtype_like(x):
    if isinstance(x, Var):
        kinds = {"f": 0.0, "i": 0, "c": 0j, "b": False}
        return kinds[x.dtype.kind] if x.weak else x.dtype
    return x


_BASIC = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
    np.result_type: lambda *xs: np.result_type(*map(_dtype_like, xs)),
    np.may_share_memory: lambda a, b, max_work=None: False,
    np.shares_memory: lambda a, b, max_work=None: False,
}

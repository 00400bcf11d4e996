"""Convolutions in one, two and three dimensions and their transposes."""

import math

from ..graph import emit
from ..ops import reshape
from ._base import Layer, float_input, parameter
from .dense import whole
from .initialisers import initialiser

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d",
    "ConvTranspose3d", "convolution", "transposed_convolution",
]  # fmt: skip

_ACTS = {"none": 0, "relu": 1}
_METHODS = {"auto": 0, "direct": 1, "winograd": 2}
_WORDS = ("same", "valid", "periodic")


def _each(value, axes, name, who, least=1):
    """An int for each axis from one int or a sequence."""
    if not isinstance(value, (tuple, list)):
        return (whole(value, name, who, least),) * axes
    if len(value) != axes:
        raise ValueError(
            f"{who}: {name} must be an int or {axes} of them, not {tuple(value)}"
        )
    return tuple(whole(v, name, who, least) for v in value)


def _pairs(padding, axes, who):
    """A word of `_WORDS`, or (low, high) for each axis."""
    if isinstance(padding, str):
        if padding not in _WORDS:
            raise ValueError(
                f"{who}: padding must be one of {_WORDS}, ints or pairs of ints, not"
                f" {padding!r}"
            )
        return padding
    if not isinstance(padding, (tuple, list)):
        padding = (padding,) * axes
    if len(padding) != axes:
        raise ValueError(
            f"{who}: padding needs one entry for each of {axes} axes, an int or a pair"
            f" (low, high); got {tuple(padding)}"
        )
    return tuple(_each(p, 2, "padding", who, 0) for p in padding)


def _margins(padding, size, kernel, stride, dilation):
    """(low, high, periodic) of a convolution of axes of these sizes."""
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == "valid":
        return [0] * len(size), [0] * len(size), 0
    if padding == "periodic":
        low = [(n - 1) // 2 for n in spans]
        return low, [n - 1 - a for n, a in zip(spans, low, strict=True)], 1
    if padding == "same":
        axes = zip(size, stride, spans, strict=True)
        total = [max((-(-n // s) - 1) * s + span - n, 0) for n, s, span in axes]
        low = [t // 2 for t in total]
        return low, [t - a for t, a in zip(total, low, strict=True)], 0
    return [p[0] for p in padding], [p[1] for p in padding], 0


def _operands(x, weight, bias, who):
    """Floating-point operands; x with one axis of entries, and the axes in front."""
    x, weight = float_input(x, who), float_input(weight, who)
    axes = len(weight.shape) - 2
    if axes not in (1, 2, 3):
        raise ValueError(
            f"{who}: weight must have 3, 4 or 5 axes (channels, channels/groups,"
            f" *kernel), not shape {weight.shape}"
        )
    if len(x.shape) < axes + 1:
        raise ValueError(
            f"{who}: x {x.shape} must have a channel axis and {axes} axes behind it"
        )
    lead, core = x.shape[: -axes - 1], x.shape[-axes - 1 :]
    if len(lead) != 1:
        x = reshape(x, (math.prod(lead), *core))
    inputs = (x, weight) if bias is None else (x, weight, float_input(bias, who))
    return inputs, axes, lead


def _method(method, who):
    if method not in _METHODS:
        raise ValueError(
            f"{who}: method must be one of {sorted(_METHODS)}, not {method!r}"
        )
    return _METHODS[method]


def _fit(channels, wanted, weight, groups, who):
    if channels != wanted or weight.shape[0] % groups:
        raise ValueError(
            f"{who}: {channels} channels and weight {weight.shape} do not fit with"
            f" groups={groups}: {wanted} channels are needed, and a first axis of the"
            " weight that the groups divide"
        )


def convolution(x, weight, bias=None, stride=1, dilation=1, padding="same", groups=1,
                method="auto", act="none"):  # fmt: skip
    """Convolution as networks mean it: the kernel is not turned round.

    y[o, j] = bias[o] + sum over c, t of
    weight[o, c, t] x[c, j stride + t dilation - low].

    Parameters
    ----------
    x : (..., c_in, sizes) array of float32 or float64
        One, two or three axes of points, as many as the weight has.
    weight : (c_out, c_in / groups, kernel, ...) array of the same dtype
    bias : (c_out,) array, optional
    stride, dilation : int or one for each axis
    padding : "same", "valid", "periodic", int, or ints or pairs (low, high) by axis
        Zeros around x: as many as make ceil(size / stride) results (where odd, one more
        at the high end), none, or those given. Periodic: x repeats, the kernel is
        centred, and the stride must divide the size.
    groups : int
    method : "auto", "direct" or "winograd"
        Winograd's algorithm (float32, kernels of 3, stride and dilation 1) needs 2 to 6
        times fewer multiplications and rounds about 1e-6 of the largest value.
    act : "none" or "relu"
        "relu": max(y, 0) in the same pass.

    Returns
    -------
    (..., c_out, sizes of the result) array

    Raises
    ------
    TypeError
        Other dtypes, or different ones.
    ValueError
        Shapes that do not fit, a kernel larger than the padded input.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> x = np.arange(5.0)[None]
    >>> gv.nn.convolution(x, np.array([[[-1.0, 0.0, 1.0]]]), padding="valid")
    array([[2., 2., 2.]])
    """
    who = "convolution"
    if act not in _ACTS:
        raise ValueError(f"{who}: act must be one of {sorted(_ACTS)}, not {act!r}")
    inputs, axes, lead = _operands(x, weight, bias, who)
    x, weight = inputs[:2]
    stride = _each(stride, axes, "stride", who)
    dilation = _each(dilation, axes, "dilation", who)
    groups = whole(groups, "groups", who)
    _fit(x.shape[1], weight.shape[1] * groups, weight, groups, who)
    padding = _pairs(padding, axes, who)
    low, high, periodic = _margins(padding, x.shape[2:], weight.shape[2:], stride,
                                   dilation)  # fmt: skip
    y = emit("conv", inputs, stride=stride, dilation=dilation, low=low, high=high,
             groups=groups, periodic=periodic, method=_method(method, who),
             act=_ACTS[act])  # fmt: skip
    return y if len(lead) == 1 else reshape(y, (*lead, *y.shape[1:]))


def transposed_convolution(x, weight, bias=None, stride=1, dilation=1, padding="same",
                           groups=1, output_padding=0, method="auto"):  # fmt: skip
    """The transpose (adjoint) of `convolution` in its input, plus a bias.

    Parameters
    ----------
    x : (..., c_in, sizes) array of float32 or float64
    weight : (c_in, c_out / groups, kernel, ...) array of the same dtype
    bias : (c_out,) array, optional
    stride, dilation : int or one for each axis
    padding : "same", "valid", "periodic", int, or ints or pairs (low, high) by axis
        That of the convolution. "same" and "periodic" give size * stride points, the
        others (size - 1) stride + dilation (kernel - 1) + 1 - low - high +
        output_padding.
    groups : int
    output_padding : int or one for each axis
        Points more at the high end, fewer than the stride; for "valid" and ints.
    method : "auto", "direct" or "winograd"

    Returns
    -------
    (..., c_out, sizes of the result) array

    Raises
    ------
    TypeError, ValueError
        As `convolution`.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> x, weight = np.array([[1.0, 2.0]]), np.ones((1, 1, 2))
    >>> gv.nn.transposed_convolution(x, weight, stride=2)
    array([[1., 1., 2., 2.]])
    """
    who = "transposed_convolution"
    inputs, axes, lead = _operands(x, weight, bias, who)
    x, weight = inputs[:2]
    stride = _each(stride, axes, "stride", who)
    dilation = _each(dilation, axes, "dilation", who)
    groups = whole(groups, "groups", who)
    _fit(x.shape[1], weight.shape[0], weight, groups, who)
    padding, kernel = _pairs(padding, axes, who), weight.shape[2:]
    more = _each(output_padding, axes, "output_padding", who, 0)
    fixed = padding in ("same", "periodic")
    if any(m >= s or (fixed and m) for m, s in zip(more, stride, strict=True)):
        raise ValueError(
            f"{who}: output_padding {more} must be less than the stride {stride}, and 0"
            " with padding 'same' or 'periodic'"
        )
    size = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    low, high, periodic = _margins(padding, size, kernel, stride, dilation)
    if not fixed:
        sides = zip(x.shape[2:], stride, kernel, dilation, low, high, more, strict=True)
        size = [(n - 1) * s + d * (k - 1) + 1 - a - b + m
                for n, s, k, d, a, b, m in sides]  # fmt: skip
        if min(size) < 1:
            raise ValueError(f"{who}: nothing is left of the result, sizes {size}")
    y = emit("conv_data_bwd", inputs, stride=stride, dilation=dilation, low=low,
             high=high, groups=groups, periodic=periodic, method=_method(method, who),
             size=size)  # fmt: skip
    return y if len(lead) == 1 else reshape(y, (*lead, *y.shape[1:]))


class _Convolution(Layer):
    """What all convolution layers share."""

    #: `_forward` takes act="relu" and does the rectifier in the same pass
    fuses_relu = True
    _axes = 0
    _turned = False

    def __init__(self, c_in, c_out, kernel, stride=1, dilation=1, padding="same",
                 groups=1, bias=True, *, method="auto", init_weight="torch",
                 init_bias="torch"):  # fmt: skip
        who = type(self).__name__
        self.c_in, self.c_out = whole(c_in, "c_in", who), whole(c_out, "c_out", who)
        self.kernel = _each(kernel, self._axes, "kernel", who)
        self.stride = _each(stride, self._axes, "stride", who)
        self.dilation = _each(dilation, self._axes, "dilation", who)
        self.padding = _pairs(padding, self._axes, who)
        self.groups = whole(groups, "groups", who)
        if self.c_in % self.groups or self.c_out % self.groups:
            raise ValueError(
                f"{who}: groups={self.groups} must divide c_in={self.c_in} and"
                f" c_out={self.c_out}"
            )
        self.bias = bool(bias)
        _method(method, who)
        self.method = method
        self.init_weight, self.init_bias = init_weight, init_bias
        for how in (init_weight, init_bias):
            initialiser(how)  # refuses unknown names

    @property
    def _shape(self):
        sides = (self.c_in, self.c_out) if self._turned else (self.c_out, self.c_in)
        return (sides[0], sides[1] // self.groups, *self.kernel)

    def _parameters(self, rng, dtype):
        shape, points = self._shape, math.prod(self.kernel)
        fans = shape[1] * points, shape[0] // self.groups * points
        draw, draw_bias = initialiser(self.init_weight), initialiser(self.init_bias)
        params = {"weight": draw(rng, shape, *fans, dtype)}
        if self.bias:
            params["bias"] = draw_bias(rng, (self.c_out,), *fans, dtype)
        return params

    def _given(self, params, x):
        """Weight and bias of the right shapes, for an input of the right channels."""
        who = type(self).__name__
        x = float_input(x, who)
        if len(x.shape) < self._axes + 1 or x.shape[-self._axes - 1] != self.c_in:
            raise ValueError(
                f"{who}: x must be (..., {self.c_in}, *size) with {self._axes} axes of"
                f" points, not {x.shape}"
            )
        weight = parameter(params, "weight", self._shape, who)
        bias = parameter(params, "bias", (self.c_out,), who) if self.bias else None
        return x, weight, bias

    def _forward(self, params, x, context, act="none"):
        x, weight, bias = self._given(params, x)
        return convolution(x, weight, bias, self.stride, self.dilation, self.padding,
                           self.groups, self.method, act)  # fmt: skip


class _Transposed(_Convolution):
    fuses_relu = False
    _turned = True

    def __init__(self, c_in, c_out, kernel, stride=1, dilation=1, padding="same",
                 groups=1, bias=True, *, output_padding=0, method="auto",
                 init_weight="torch", init_bias="torch"):  # fmt: skip
        super().__init__(c_in, c_out, kernel, stride, dilation, padding, groups, bias,
                         method=method, init_weight=init_weight,
                         init_bias=init_bias)  # fmt: skip
        who = type(self).__name__
        more = _each(output_padding, self._axes, "output_padding", who, 0)
        self.output_padding = more

    def _forward(self, params, x, context):
        x, weight, bias = self._given(params, x)
        return transposed_convolution(x, weight, bias, self.stride, self.dilation,
                                      self.padding, self.groups, self.output_padding,
                                      self.method)  # fmt: skip


_DOC = """{what}

    Parameters
    ----------
    c_in, c_out : int
        Channels of the input and of the result.
    kernel, stride, dilation : int or one for each axis
    padding : "same", "valid", "periodic", int, or ints or pairs (low, high) by axis
        See `gradiverse.nn.{function}`.
    groups : int
        Channels in so many parts that do not mix.
    bias : bool{more}
    method : "auto", "direct" or "winograd"
    init_weight, init_bias : str, float or callable
        As for `gradiverse.nn.initialisers.initialiser`; by default torch's.

    Raises
    ------
    TypeError, ValueError
        Settings, parameters or inputs that do not fit.

    Notes
    -----
    Parameters as torch's: weight {weight}, bias (c_out,).
    Input (..., c_in, n, ...), output (..., c_out, m, ...).

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.{name}({example})
    >>> layer.apply(layer.init(0), np.ones({x})).shape
    {y}
    """


def _documented(what, example, x, y):
    """Give a layer class its documentation."""

    def add(cls):
        turned = cls._turned
        cls.__doc__ = _DOC.format(
            what=what, name=cls.__name__, example=example, x=x, y=y,
            function="transposed_convolution" if turned else "convolution",
            weight="(c_in, c_out / groups, kernel, ...)" if turned
            else "(c_out, c_in / groups, kernel, ...)",
            more="\n    output_padding : int or one for each axis" if turned else "",
        )  # fmt: skip
        return cls

    return add


@_documented("Convolution of one axis.", "4, 8, 3", (2, 4, 50), (2, 8, 50))
class Conv1d(_Convolution):
    _axes = 1


@_documented(
    "Convolution of two axes.", "3, 8, 3, stride=2", (2, 3, 9, 9), (2, 8, 5, 5)
)
class Conv2d(_Convolution):
    _axes = 2


@_documented("Convolution of three axes.", '1, 4, 3, padding="periodic"',
             (1, 8, 8, 8), (4, 8, 8, 8))  # fmt: skip
class Conv3d(_Convolution):
    _axes = 3


@_documented("Transposed convolution of one axis.", "4, 2, 4, stride=2, padding=1",
             (3, 4, 10), (3, 2, 20))  # fmt: skip
class ConvTranspose1d(_Transposed):
    _axes = 1


@_documented("Transposed convolution of two axes.", "8, 4, 2, stride=2",
             (3, 8, 5, 5), (3, 4, 10, 10))  # fmt: skip
class ConvTranspose2d(_Transposed):
    _axes = 2


@_documented("Transposed convolution of three axes.", "2, 1, 3, padding=1",
             (2, 5, 5, 5), (1, 5, 5, 5))  # fmt: skip
class ConvTranspose3d(_Transposed):
    _axes = 3

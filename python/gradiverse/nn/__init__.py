"""Networks: layers with parameters in plain nested dicts of arrays.

A layer holds no arrays. ``params = layer.init(seed)`` draws the parameters, named and
laid out as torch names them; ``layer.apply(params, x)`` is a function of arrays that
takes part in every transform (`gv.grad`, `gv.compile`, `gv.vmap`, `gv.scan`). Layers
with running statistics have a state beside the parameters: ``y, state =
layer.apply(params, x, state=state, train=True)``.
"""

from importlib import import_module as _import_module

_LAZY = {
    "Layer": "_base",
    "Context": "_base",
    "Linear": "dense",
    "linear": "dense",
    "Grouped": "grouped",
    "GroupedLinear": "grouped",
    "grouped_linear": "grouped",
    "ResNet": "resnet",
    "Sequential": "sequential",
    "MLP": "sequential",
    "Activation": "activations",
    "activation": "activations",
    "BatchNorm": "norm",
    "GroupNorm": "norm",
    "InstanceNorm": "norm",
    "LayerNorm": "norm",
    "Dropout": "dropout",
    "Embedding": "embedding",
    "AvgPool": "pool",
    "GlobalPool": "pool",
    "MaxPool": "pool",
    "Upsample": "pool",
    "Attention": "attention",
    "ConvBlock": "blocks",
    "Residual": "blocks",
    "UNet": "unet",
    "MLPMixer": "mixer",
    "DeepSet": "deepset",
    "pad_sets": "deepset",
    "Conv1d": "conv",
    "Conv2d": "conv",
    "Conv3d": "conv",
    "ConvTranspose1d": "conv",
    "ConvTranspose2d": "conv",
    "ConvTranspose3d": "conv",
    "convolution": "conv",
    "transposed_convolution": "conv",
}
_MODULES = ("initialisers", "losses")

__all__ = [*_LAZY, *_MODULES]


def __getattr__(name):
    """Import what is asked for (PEP 562)."""
    if name in _LAZY:
        value = getattr(_import_module(f"{__name__}.{_LAZY[name]}"), name)
    elif name in _MODULES:
        value = _import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))

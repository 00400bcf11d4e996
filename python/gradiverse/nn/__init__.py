"""Networks: layers with parameters in plain nested dicts of arrays.

A layer holds no arrays. ``params = layer.init(seed)`` draws the parameters, named and
laid out as torch names them; ``layer.apply(params, x)`` is a function of arrays that
takes part in every transform (`gv.grad`, `gv.compile`, `gv.vmap`, `gv.scan`). Layers
with running statistics have a state beside the parameters: ``y, state =
layer.apply(params, x, state=state, train=True)``.
"""

from .._lazy import on_demand as _on_demand

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

__getattr__, __dir__ = _on_demand(__name__, _LAZY, _MODULES)

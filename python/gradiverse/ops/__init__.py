"""NumPy's names with NumPy's signatures, for traced values and arrays alike.

``gradiverse.ops.exp(x)`` and ``numpy.exp(x)`` are the same inside a function that is
differentiated, compiled or batched. Called on plain arrays the functions here call
NumPy. Beyond NumPy there are `solve_triangular`, `logdet`, `logsumexp`, `softmax`,
`log_softmax`, special functions, `scatter_add`, `index_set` and `fft_derivative`.
"""

from . import (
    contraction,
    create,
    cumulative,
    differences,
    elementwise,
    extend,
    fft,
    indexing,
    join,
    linalg,
    products,
    rearrange,
    reductions,
    sorting,
    special,
    statistics,
    ufuncs,
)
from ._core import FUNCTIONS, UFUNCS
from .contraction import *  # noqa: F403
from .create import *  # noqa: F403
from .cumulative import *  # noqa: F403
from .differences import *  # noqa: F403
from .dispatch import METHODS, array_function, array_ufunc
from .elementwise import *  # noqa: F403
from .extend import *  # noqa: F403
from .fft import fft_derivative
from .indexing import *  # noqa: F403
from .join import *  # noqa: F403
from .matrices import logdet, solve_triangular
from .products import *  # noqa: F403
from .rearrange import *  # noqa: F403
from .reductions import *  # noqa: F403
from .sorting import *  # noqa: F403
from .special import *  # noqa: F403
from .statistics import *  # noqa: F403
from .ufuncs import *  # noqa: F403

__all__ = [
    "FUNCTIONS",
    "METHODS",
    "UFUNCS",
    "array_function",
    "array_ufunc",
    "fft",
    "fft_derivative",
    "linalg",
    "logdet",
    "solve_triangular",
]
for _module in (
    contraction,
    create,
    cumulative,
    differences,
    elementwise,
    extend,
    indexing,
    join,
    products,
    rearrange,
    reductions,
    sorting,
    special,
    statistics,
    ufuncs,
):
    __all__ += _module.__all__

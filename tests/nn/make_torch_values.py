"""Store what torch computes for the cases of `torch_cases`, in `torch_values.npz`.

Where torch is installed, in the folder tests: ``python -m nn.make_torch_values``.
An array is stored as its largest entry, at most 24 of its entries, and 8 sums of all
entries with random signs, over the root of their number.
"""

from pathlib import Path

import numpy as np

from .torch_cases import CASES, numbers

FILE = Path(__file__).with_name("torch_values.npz")


def digest(key, x):
    """A few numbers that change with any entry of x."""
    rng, flat = numbers(key), np.asarray(x).reshape(-1)
    wide = flat.astype("float64")
    places = np.sort(rng.permutation(flat.size)[:24])
    signs = 2.0 * rng.integers(0, 2, (8, flat.size)) - 1.0
    sums = (signs * wide).sum(1) / np.sqrt(max(flat.size, 1))
    parts = [np.abs(wide).max(initial=0)[None], wide[places], sums]
    return np.concatenate(parts).astype(flat.dtype)


def digests(found):
    """Those of a case, by the names and shapes of its arrays."""
    found = {f"{key} {np.shape(x)}": x for key, x in found.items()}
    return {key: digest(key, x) for key, x in found.items()}


def drawn():
    """Numbers as the cases draw them, to know whether NumPy still draws the same."""
    rng = numbers("inputs")
    return np.concatenate([rng.normal(size=20), rng.integers(0, 99, 20), rng.random(9)])


def read():
    """The version of torch, what `drawn` gave, and digests by the names of cases."""
    with np.load(FILE) as file:
        stored = {name: file[name] for name in file.files}
    ends = np.cumsum(stored["lengths"])[:-1]
    found = {}
    for label, x in zip(
        stored["labels"], np.split(stored["values"], ends), strict=True
    ):
        case, key = str(label).split("/")
        found.setdefault(case, {})[key] = x
    return str(stored["torch"]), stored["drawn"], found


def main():
    """Write the file."""
    import torch

    made = {
        f"{name}/{key}": x
        for name, (_, theirs, _) in CASES.items()
        for key, x in digests(theirs("float64")).items()
    }
    np.savez_compressed(
        FILE,
        torch=torch.__version__,
        drawn=drawn(),
        labels=np.array(list(made)),
        lengths=np.array([len(x) for x in made.values()]),
        values=np.concatenate(list(made.values())),
    )
    print(f"{FILE}: {len(made)} arrays, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()

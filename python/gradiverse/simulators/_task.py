"""What every task offers, and the list of tasks."""

from importlib import import_module

import numpy as np

_WHERE = {
    "gaussian_linear": "_gaussian.GaussianLinear",
    "gaussian_linear_uniform": "_gaussian.GaussianLinearUniform",
    "gaussian_mixture": "_gaussian.GaussianMixture",
    "two_moons": "_planar.TwoMoons",
    "torus": "_planar.Torus",
    "slcp": "_slcp.Slcp",
    "slcp_distractors": "_slcp.SlcpDistractors",
    "bernoulli_glm": "_glm.BernoulliGlm",
    "bernoulli_glm_raw": "_glm.BernoulliGlmRaw",
    "sir": "_ode.Sir",
    "lotka_volterra": "_ode.LotkaVolterra",
}


def names():
    """Names of the tasks, in a fixed order.

    Returns
    -------
    list of str

    Examples
    --------
    >>> "two_moons" in names()
    True
    """
    return list(_WHERE)


def task(name):
    """A benchmark task by name.

    Ten tasks are those of Lueckmann et al. 2021 (arXiv:2101.04653), with their priors,
    noise and ordering of columns; ``torus`` is that of Miller et al. 2021
    (arXiv:2107.01214).

    Parameters
    ----------
    name : str
        One of ``names()``.

    Returns
    -------
    Task

    Raises
    ------
    ValueError
        No such task.

    Examples
    --------
    >>> moons = task("two_moons")
    >>> theta = moons.prior.sample(3, rng=0)
    >>> moons.simulate(theta, rng=1).shape
    (3, 2)
    """
    if name not in _WHERE:
        raise ValueError(
            f"gv.simulators.task: no task {name!r}; there are {', '.join(_WHERE)}"
        )
    module, cls = _WHERE[name].split(".")
    return getattr(import_module(f".{module}", __package__), cls)()


class Task:
    """A prior, a simulator and what is known exactly about them.

    Attributes
    ----------
    name : str
    prior : gradiverse.inference.Prior
    d : int
        Number of parameters.
    x_dim : int
        Length of one set of data.
    closed_form : bool
        Draws of `posterior` are independent and exact; otherwise they are those of a
        converged Monte Carlo run.
    """

    name = None
    prior = None
    x_dim = None
    closed_form = False

    @property
    def d(self):
        return self.prior.d

    def __repr__(self):
        return f"gv.simulators.task({self.name!r})"

    def simulate(self, theta, rng=0):
        """Data at parameters.

        Parameters
        ----------
        theta : (n, d) array
        rng : seed, SeedSequence or Generator

        Returns
        -------
        (n, x_dim) float64 ndarray
            A row of NaN where the simulator failed.

        Raises
        ------
        ValueError
            Wrong shape of theta.
        """
        return self._simulate(
            self._theta(theta, "simulate"), np.random.default_rng(rng)
        )

    def log_likelihood(self, theta, x):
        """ln p(x | theta), up to a constant that depends on x alone.

        Parameters
        ----------
        theta : (n, d) array
        x : (x_dim,) array

        Returns
        -------
        (n,) float64 ndarray
            -inf where the data cannot occur.
        """
        return self._log_likelihood(self._theta(theta, "log_likelihood"), self._x(x))

    def posterior(self, x, n, rng=0):
        """Draws from the exact posterior.

        Closed form or rejection where that is possible (`closed_form`); otherwise
        particles brought from the prior to the posterior by tempering and then moved on
        by many sweeps of an ensemble sampler.

        Parameters
        ----------
        x : (x_dim,) array
        n : int
        rng : seed, SeedSequence or Generator

        Returns
        -------
        (n, d) float64 ndarray

        Raises
        ------
        ValueError
            Wrong shape, or data that no parameter can have produced.
        """
        x, n = self._x(x), int(n)
        if n < 1:
            raise ValueError(f"task {self.name}: n={n} draws; at least 1 is needed")
        return self._posterior(x, n, np.random.default_rng(rng))

    # --- what a task writes ---------------------------------------------------------

    def _simulate(self, theta, rng):
        raise NotImplementedError

    def _log_likelihood(self, theta, x):
        raise NotImplementedError

    def _posterior(self, x, n, rng):
        from ._tempering import sample

        return sample(self.prior, lambda t: self._log_likelihood(t, x), n, rng)

    # --- checks ---------------------------------------------------------------------

    def _theta(self, theta, who):
        theta = np.asarray(theta, np.float64)
        if theta.ndim != 2 or theta.shape[1] != self.d:
            raise ValueError(
                f"task {self.name}.{who}: theta has shape {theta.shape}; "
                f"(n, {self.d}) is needed"
            )
        return theta

    def _x(self, x):
        x = np.asarray(x, np.float64)
        if x.shape != (self.x_dim,):
            raise ValueError(
                f"task {self.name}: x has shape {x.shape}; ({self.x_dim},) is needed"
            )
        if not np.isfinite(x).all():
            raise ValueError(f"task {self.name}: x is not finite; no posterior exists")
        return x

    def _accept(self, n, rng, propose):
        """n rows from propose(m, rng) -> accepted rows of m candidates; bounded."""
        kept, have, tried = [], 0, 0
        size = max(1000, 2 * n)
        while have < n:
            good = propose(size, rng)
            kept.append(good)
            have, tried = have + len(good), tried + size
            if tried >= 10_000_000 and have < n:
                raise ValueError(
                    f"task {self.name}: {have} of {tried} candidates were accepted; "
                    "this x is next to impossible under the prior"
                )
            size = int(min(1_000_000, max(1000, 1.2 * (n - have) * tried / (have + 1))))
        return np.concatenate(kept)[:n]

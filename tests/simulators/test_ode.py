"""Tasks on differential equations against SciPy's LSODA, failures, likelihoods."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import odeint

import gradiverse as gv
from gradiverse import simulators
from gradiverse.graph import emit


def _lsoda(slope, start, times, args):
    return odeint(slope, start, times, args=args, rtol=1e-12, atol=1e-14, mxstep=10**5)


@pytest.mark.smoke
def test_sir_path_is_that_of_lsoda():
    task = simulators.task("sir")
    theta = task.prior.sample(10, rng=0)
    days = 17.0 * np.arange(10)
    got = task.paths(theta)
    for i, (beta, gamma) in enumerate(theta):

        def slope(y, t, beta=beta, gamma=gamma):
            new = beta * y[0] * y[1] / 1e6
            return [-new, new - gamma * y[1]]

        want = _lsoda(slope, [1e6 - 1, 1.0], days, ())
        # global error at most a hundred of the local 1e-6
        assert np.allclose(got[i], want, rtol=1e-4, atol=1e-5)


def test_lotka_volterra_path_is_that_of_lsoda():
    task = simulators.task("lotka_volterra")
    theta = task.prior.sample(10, rng=0)
    got = task.paths(theta)
    for i, (a, b, c, d) in enumerate(theta):

        def slope(u, t, a=a, b=b, c=c, d=d):  # logarithms: no absolute tolerance
            return [a - b * np.exp(u[1]), -c + d * np.exp(u[0])]

        want = np.exp(_lsoda(slope, np.log([30.0, 1.0]), 2.1 * np.arange(10), ()))
        assert np.allclose(got[i], want, rtol=1e-4)


def test_conserved_quantity_of_predators_and_prey():
    # V = d x - c ln x + b y - a ln y is constant along a path (Volterra 1926)
    task = simulators.task("lotka_volterra")
    theta = task.prior.sample(500, rng=1)
    x, y = np.moveaxis(task.paths(theta), 2, 0)
    a, b, c, d = theta.T[:, :, None]
    terms = [d * x, c * np.log(x), b * y, a * np.log(y)]
    v = terms[0] - terms[1] + terms[2] - terms[3]
    scale = sum(np.abs(t) for t in terms).max(axis=1, keepdims=True)
    assert (np.abs(v - v[:, :1]) < 1e-4 * scale).all()


def test_failed_solve_is_a_row_of_nan_and_no_other():
    start, p = np.ones((3, 2)), np.ones((3, 4))
    start[1] = 0.3
    p[1] = 1e6  # needs millions of steps

    def run(start, p, **change):
        attrs = {"system": 1, "points": 3, "span": 2.0, "rtol": 1e-8} | change
        return emit("ode_path", (start, p), max_steps=1000, **attrs)

    path = run(start, p)
    assert np.isnan(path[1]).all() and np.isfinite(path[[0, 2]]).all()
    assert np.array_equal(path[[0, 2]], run(start[[0, 2]], p[[0, 2]]))
    start[0, 0], p[2, 1] = -1.0, np.nan
    assert np.isnan(run(start, p)).all()
    for change, message in (
        ({"system": 2}, "no system 2"),
        ({"span": -1.0}, "span"),
        ({"rtol": 0.0}, "rtol"),
        ({"points": 0}, "points"),
        ({"system": 0}, "3 columns"),
    ):
        with pytest.raises(ValueError, match=message):
            run(start, p, **change)
    with pytest.raises(TypeError, match="float64"):
        run(start.astype("f4"), p)


@pytest.mark.parametrize("name", ["sir", "lotka_volterra"])
def test_failure_reaches_data_and_likelihood(name, monkeypatch):
    task = simulators.task(name)
    theta = task.prior.sample(4, rng=0)
    x = task.simulate(theta, rng=1)
    monkeypatch.setattr("gradiverse.simulators._ode.MAX_STEPS", 3)
    assert np.isnan(task.simulate(theta, rng=1)).all()
    assert (task.log_likelihood(theta, x[0]) == -np.inf).all()


def test_noise_is_the_stated_one():
    sir, prey = simulators.task("sir"), simulators.task("lotka_volterra")
    theta = np.tile([0.5, 0.2], (4000, 1))
    x = sir.simulate(theta, rng=0)
    p = sir.paths(theta[:1])[0, :, 1] / 1e6
    assert abs((x.mean(0) - 1000 * p) / np.sqrt(p + 1e-9)).max() < 5 * np.sqrt(
        1000 / 4000
    )
    want = stats.binom(1000, p).logpmf(x[0]).sum()
    assert sir.log_likelihood(theta[:1], x[0]) == pytest.approx(want, rel=1e-9)
    theta = np.tile([0.6, 0.03, 0.9, 0.04], (4000, 1))
    z = np.log(prey.simulate(theta, rng=0))
    path = prey.paths(theta[:1])[0]
    mean = np.log(np.concatenate([path[:, 0], path[:, 1]]))  # prey first
    assert abs(z.mean(0) - mean).max() < 5 * 0.1 / np.sqrt(4000)
    assert abs(z.std(0) / 0.1 - 1).max() < 5 / np.sqrt(2 * 4000)
    want = stats.lognorm(0.1, scale=np.exp(mean)).logpdf(np.exp(z[0])).sum()
    assert prey.log_likelihood(theta[:1], np.exp(z[0])) == pytest.approx(want, rel=1e-9)


def test_same_bits_on_one_and_two_threads():
    task = simulators.task("lotka_volterra")
    theta = task.prior.sample(300, rng=0)
    before, got = gv.get_threads(), []
    try:
        for threads in (1, 2):
            gv.set_threads(threads)
            got.append(task.paths(theta))
    finally:
        gv.set_threads(before)
    assert np.array_equal(*got)


def test_data_that_cannot_occur_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        simulators.task("sir").log_likelihood([[0.4, 0.1]], np.full(10, 0.5))
    with pytest.raises(ValueError, match="positive"):
        simulators.task("lotka_volterra").log_likelihood(np.ones((1, 4)), -np.ones(20))


def test_posterior_of_the_epidemic_by_quadrature():
    # two parameters: the posterior's moments on a grid of prior quantiles
    task = simulators.task("sir")
    theta = np.array([[0.5, 0.2]])
    x = task.simulate(theta, rng=5)[0]
    draws = task.posterior(x, 1000, rng=0)
    m, s = draws.mean(0), draws.std(0)
    axes = [np.linspace(m[k] - 6 * s[k], m[k] + 6 * s[k], 121) for k in range(2)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    h = task.log_likelihood(grid, x) + task.prior.log_prob(grid)
    w = np.exp(h - h.max())
    w /= w.sum()
    mean = w @ grid
    sd = np.sqrt(w @ (grid - mean) ** 2)
    assert (np.abs(m - mean) < 5 * sd / np.sqrt(400)).all()
    assert (np.abs(s / sd - 1) < 5 / np.sqrt(2 * 400)).all()

"""The dataclass: arguments, errors, transforms."""

import pickle
import time

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.cosmology import Cosmology

K = np.geomspace(1e-4, 100.0, 2048)


def test_amplitudes():
    assert Cosmology().sigma8 == 0.8159 and Cosmology().A_s is None
    assert Cosmology(A_s=2e-9).sigma8 is None
    with pytest.raises(ValueError, match="sigma8 and A_s are both given"):
        Cosmology(sigma8=0.8, A_s=2e-9)
    c = Cosmology(A_s=2e-9).replace(sigma8=0.8)
    assert (c.sigma8, c.A_s) == (0.8, None)
    with pytest.raises(TypeError, match="no parameter 'Omega_l'"):
        c.replace(Omega_l=0.7)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"Omega_m": 0.0}, r"Omega_m=0 must be positive"),
        ({"Omega_m": -0.3}, r"Omega_m=-0\.3 must be positive"),
        ({"h": 0.0}, "h=0 must be positive"),
        ({"sigma8": -0.8}, r"sigma8=-0\.8 must be positive"),
        ({"A_s": 0.0}, "A_s=0 must be positive"),
        ({"T_cmb": 0.0}, "T_cmb=0 must be positive"),
        ({"Omega_b": -0.01}, r"Omega_b=-0\.01 must not be negative"),
        ({"Omega_b": 0.4}, r"Omega_b=0\.4 is more than Omega_m=0\.3089"),
        ({"Omega_r": -1e-5}, "Omega_r=-1e-05 must not be negative"),
        ({"Omega_k": -5.0}, r"E\^2 is not positive at a=.*Omega_k=-5"),
        ({"Omega_m": 0.1, "Omega_b": 0.0, "Omega_k": -1.0}, "no expansion from a Big"),
        ({"w0": 0.1}, r"w0 \+ wa = 0\.1 makes dark energy dominate early"),
        ({"w0": np.nan}, "w0=nan is not finite"),
        ({"n_s": np.inf}, "n_s=inf is not finite"),
        ({"Omega_m": 0.3, "Omega_r": 0.3 * 2.5374e-4}, "has no growing mode"),
        ({"h": [0.6, 0.7]}, r"h has shape \(2,\), one number is needed"),
        ({"transfer": "eh97"}, "'eh97' is none of eh98, eh98_nowiggle, bbks"),
        ({"transfer": (K, K[:5])}, r"shapes \(2048,\) and \(5,\)"),
        ({"transfer": (K, -K)}, "the table's P must be positive"),
        ({"transfer": (K[::-1], K)}, "the table's k must ascend"),
        ({"transfer": (K, K), "A_s": 2e-9}, "has its own amplitude"),
    ],
    ids=str,
)
def test_values_that_make_no_universe(wrong, message):
    with pytest.raises(ValueError, match=message):
        Cosmology(**wrong)


def test_beyond_the_antipode():
    """pi/sqrt(-Omega_k) c/H0: there and farther, sin is no distance any more."""
    c = Cosmology(Omega_m=0.3, Omega_k=-0.99)
    assert c.transverse_distance(1.0) > 0
    with pytest.raises(ValueError, match=r"antipode.*Omega_k=-0\.99, at 9465"):
        c.transverse_distance([1.0, 2.0])


def test_numbers_come_back_as_numbers():
    c = Cosmology()
    found = (
        c.E(0.5), c.growth(0.5), c.growth(0.5, "matter", order=2), c.growth_rate(0.5),
        c.comoving_distance(0.5), c.transverse_distance(0.5), c.scale_factor(1e3),
        c.linear_power(0.1), c.linear_power(0.1, z=1.0), c.halofit_power(0.1),
        c.sigma_r(8.0),
    )  # fmt: skip
    assert all(type(x) is np.float64 for x in found)
    assert f"{c.growth(0.5):.3f}" == f"{c.growth([0.5])[0]:.3f}"


def test_types():
    with pytest.raises(TypeError, match="h='x' is not a number"):
        Cosmology(h="x")
    with pytest.raises(TypeError, match="n_s is None, a number is needed"):
        Cosmology(n_s=None)
    with pytest.raises(TypeError, match=r"or a pair \(k, P\), got int"):
        Cosmology(transfer=3)
    c = Cosmology(w0=-1, h=np.float32(0.5))
    assert type(c.w0) is float and type(c.h) is float
    for value in (c.E(1), c.growth(np.float32(0.5)), c.linear_power([1, 2])):
        assert isinstance(value, (np.ndarray, np.float64))
        assert value.dtype == np.float64
    assert pickle.loads(pickle.dumps(c)) == c


def test_traced_values_are_not_looked_at():
    # a minimiser's trial point: no error, NaN where there is no universe
    f = gv.compile(lambda k: Cosmology(Omega_k=k).comoving_distance(3.0))
    assert np.isnan(f(-8.0))
    assert np.isfinite(f(0.1))


def test_as_argument_and_result():
    c = Cosmology(Omega_k=0.01)
    same = gv.compile(lambda c: c.replace(h=c.h * 1.0))(c)
    assert isinstance(same, Cosmology) and same.transfer == "eh98"
    assert same.h == c.h and same.A_s is None
    _, pull = gv.vjp(lambda c: c.growth(0.5), c)
    (slope,) = pull(1.0)
    assert isinstance(slope, Cosmology)
    _, tangent = gv.jvp(lambda c: c.growth(0.5), (c,), (slope,))
    square = sum(v**2 for v in gv.flatten(slope)[0])
    np.testing.assert_allclose(tangent, square, rtol=1e-12)


def test_cost_against_the_integral():
    """Growth at 41 and power at 2048 points cost less than one Runge-Kutta solution."""
    from scipy.integrate import solve_ivp

    def ours():
        c = Cosmology()
        return c.growth(np.linspace(0.1, 1, 41)), c.linear_power(K, 1.0)

    def theirs():
        c = Cosmology()

        def slope(x, y):
            a = np.exp(x)
            return [y[1], 1.5 * c.Omega_m_a(a) * y[0] - (2 + c.dlnE(a)) * y[1]]

        return solve_ivp(slope, (-9.0, 0.0), [1e-4, 1e-4], "DOP853", rtol=1e-10)

    def fastest(f):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            f()
            times.append(time.perf_counter() - start)
        return min(times)

    assert fastest(ours) < fastest(theirs)


def test_from_camb_says_what_it_needs():
    try:
        import camb  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"needs the package camb"):
            Cosmology.from_camb(None)
    else:
        with pytest.raises(
            TypeError, match=r"a camb\.CAMBdata is needed, got NoneType"
        ):
            Cosmology.from_camb(None)

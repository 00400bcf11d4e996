"""A light cone in plain NumPy: every image of every particle, one after the other.

Written from the definitions alone (no culling, no tables): distances and growth by
scipy quadrature and integration of the growth equation, images in all replicas, linear
assignment with np.add.at.
"""

import numpy as np
from scipy.integrate import quad, solve_ivp
from scipy.interpolate import CubicSpline

from gradiverse.lensing.replicas import replicas

HUBBLE = 2997.92458


class Background:
    """Flat LCDM: chi(a), its inverse and D1(a), by scipy."""

    def __init__(self, Omega_m):
        self.Omega_m = Omega_m

        def rates(x, y):
            a = np.exp(x)
            e2 = Omega_m * a**-3 + 1 - Omega_m
            slope = -1.5 * Omega_m * a**-3 / e2
            return [y[1], 1.5 * Omega_m * a**-3 / e2 * y[0] - (2 + slope) * y[1]]

        x = np.linspace(np.log(1e-5), 0.0, 4001)
        y = solve_ivp(
            rates, (x[0], 0), [1e-5, 1e-5], t_eval=x, rtol=1e-12, atol=1e-18
        ).y[0]
        self._growth = CubicSpline(x, y / y[-1] / np.exp(x))
        a = np.linspace(0.05, 1.0, 4001)
        slope = -HUBBLE / (a**2 * self.E(a))
        mean = np.array([self.chi(v) for v in a[::100]])
        spline = CubicSpline(a, slope).antiderivative()
        chi = spline(a) - spline(1.0)
        assert np.abs(chi[::100] - mean).max() < 1e-7
        self._a = CubicSpline(chi[::-1], a[::-1])

    def E(self, a):
        return np.sqrt(self.Omega_m * a**-3 + 1 - self.Omega_m)

    def chi(self, a):
        return quad(
            lambda s: HUBBLE / (s**2 * self.E(s)), a, 1.0, epsabs=1e-11, epsrel=1e-12
        )[0]

    def a_of(self, chi):
        return self._a(chi)

    def growth(self, a):
        return self._growth(np.log(a)) * a


def images(lattice, mesh, box, seed, j):
    """(positions (N, 3) of the undisplaced lattice in replica j, perm, sign)."""
    perm, sign, shift = replicas(box, seed, j, lattice)
    axes = [
        (np.arange(n) / n + 0.5 / m) * side
        for n, m, side in zip(lattice, mesh, box, strict=True)
    ]
    q = np.stack([x.reshape(-1) for x in np.meshgrid(*axes, indexing="ij")], axis=1)
    return np.mod(q[:, perm] * sign + shift, box), perm, sign


def paint(kappa, n_row, n_col, weight):
    """Linear assignment, dropped outside."""
    ny, nx = kappa.shape
    i0, k0 = np.floor(n_row).astype(int), np.floor(n_col).astype(int)
    for di in (0, 1):
        for dk in (0, 1):
            i, k = i0 + di, k0 + dk
            w = (1 - np.abs(n_row - i)) * (1 - np.abs(n_col - k)) * weight
            inside = (i >= 0) & (i < ny) & (k >= 0) & (k < nx)
            np.add.at(kappa, (i[inside], k[inside]), w[inside])


def linear_cone(s1, cone, background, z_source, time=None):
    """kappa of displacements time(a(d_q)) s1(q), time being the growth D1.

    Parameters
    ----------
    s1 : (N, 3) array
        Zel'dovich field, D1 = 1 today.
    cone : Lightcone
        The geometry alone is taken from it.
    time : callable, optional
        Of a; default D1(a).
    """
    s, b = cone.setup, background
    time = b.growth if time is None else time
    box = np.array(s.box)
    far, near = b.chi(1 / (1 + z_source)), b.chi(s.steps[-1])
    kappa = np.zeros(cone.map_shape)
    volume = np.prod(box) / s.count
    factor = 1.5 * b.Omega_m / HUBBLE**2 * volume / cone.pixel**2
    for j in range(int(np.ceil(far / box[2]))):
        y, perm, sign = images(s.lattice, s.mesh, s.box, cone.seed, j)
        d_q = j * box[2] + y[:, 2]
        use = (d_q >= near) & (d_q < far)
        y, d_q = y[use], d_q[use]
        u = (s1[use][:, perm] * sign) * time(b.a_of(d_q))[:, None]
        d = d_q + u[:, 2]
        keep = (d > 0) & (d < far)
        y, d, u = y[keep], d[keep], u[keep]
        # transverse positions wrapped into the box about the line of sight
        r = np.mod(y[:, :2] + u[:, :2], box[:2]) - box[:2] / 2
        n = r / d[:, None] / cone.pixel + (np.array(cone.map_shape[::-1]) - 1) / 2
        weight = factor * (1 - d / far) / b.a_of(d) / d
        paint(kappa, n[:, 1], n[:, 0], weight)
    level = quad(
        lambda x: x * (1 - x / far) / b.a_of(x), near, far, epsrel=1e-11, limit=200
    )[0]
    return kappa - 1.5 * b.Omega_m / HUBBLE**2 * level


def linear_theory_map(delta, cone, background, z_source, rays, step=1.0, fine=2):
    """kappa of the linear density D1 delta along straight rays, the box repeated.

    A cone that ends before today begins at the distance lo of its last stage. Particles
    belong to it by their undisplaced positions, so that its near face moves with them:
    to first order this adds -F(lo) psi_z(lo), F the integrand of a uniform universe.

    Parameters
    ----------
    delta : (nx, ny, nz) array
        Linear density today at the particles' lattice points.
    rays : (int, int)
        Rays (ny, nx), at the centres of that many pixels of the cone's field.
    step : float
        Of the sum along a ray [Mpc/h].
    fine : int
        The density is interpolated trigonometrically to a mesh so much finer, then by
        cubic splines.
    """
    s, b = cone.setup, background
    box = np.array(s.box)
    far, near = b.chi(1 / (1 + z_source)), b.chi(s.steps[-1])
    read = _reader(delta, cone, rays, fine)
    count = int(np.ceil((far - near) / step))
    width = (far - near) / count

    def weight(chi):
        a = float(b.a_of(chi))
        return 1.5 * b.Omega_m / HUBBLE**2 * chi * (1 - chi / far) / a, b.growth(a)

    kappa = np.zeros(rays)
    for chi in near + (np.arange(count) + 0.5) * width:
        f, growth = weight(chi)
        kappa += f * width * float(growth) * read(chi)
    if near > 0:
        perm, sign, _ = replicas(s.box, cone.seed, int(near // box[2]), s.lattice)
        psi = _reader(_zeldovich(delta, box, perm[2]), cone, rays, fine)(near)
        f, growth = weight(near)
        kappa -= f * float(growth) * sign[2] * psi
    return kappa


def _zeldovich(delta, box, axis):
    """Component of s1 = grad laplacian^-1 (-delta), by Fourier transform."""
    k = np.meshgrid(
        *[
            2 * np.pi * np.fft.fftfreq(n, side / n)
            for n, side in zip(delta.shape, box, strict=True)
        ],
        indexing="ij",
    )
    square = sum(x**2 for x in k)
    square[0, 0, 0] = 1.0
    return np.fft.ifftn(1j * k[axis] / square * np.fft.fftn(delta)).real


def _reader(field, cone, rays, fine):
    """Function of chi -> field at the rays' points there."""
    from scipy.ndimage import map_coordinates, spline_filter

    s = cone.setup
    box, n = np.array(s.box), np.array(s.lattice)
    coefficients = spline_filter(_finer(field, fine), order=3, mode="grid-wrap")
    pixel = cone.pixel * cone.map_shape[1] / rays[1]
    y = (np.arange(rays[0]) - (rays[0] - 1) / 2) * pixel
    x = (np.arange(rays[1]) - (rays[1] - 1) / 2) * pixel

    def read(chi):
        j = int(chi // box[2])
        perm, sign, shift = replicas(s.box, cone.seed, j, s.lattice)
        frame = [
            np.broadcast_to(chi * x + box[0] / 2, rays),
            np.broadcast_to((chi * y)[:, None] + box[1] / 2, rays),
            np.full(rays, chi - j * box[2]),
        ]
        at = np.empty((3, *rays))
        for a in range(3):  # y_a = sign_a q_perm(a) + shift_a
            e = perm[a]
            q = sign[a] * (frame[a] - shift[a])
            at[e] = (q / box[e] * n[e] - 0.5 * n[e] / s.mesh[e]) * fine
        return map_coordinates(
            coefficients, at, order=3, mode="grid-wrap", prefilter=False
        )

    return read


def _finer(x, fine):
    """The trigonometric interpolant on a finer mesh; Nyquist planes are dropped."""
    fk = np.fft.fftn(x)
    for axis, n in enumerate(x.shape):
        index = [slice(None)] * 3
        index[axis] = n // 2
        fk[tuple(index)] = 0
    out = np.zeros([n * fine for n in x.shape], complex)
    low = [np.r_[0 : n // 2, n // 2 + 1 : n] for n in x.shape]
    high = [np.r_[0 : n // 2, n * fine - n // 2 + 1 : n * fine] for n in x.shape]
    out[np.ix_(*high)] = fk[np.ix_(*low)]
    return np.fft.ifftn(out).real * fine**3

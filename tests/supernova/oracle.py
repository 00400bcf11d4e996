"""The hierarchical model written out with NumPy and SciPy alone."""

import numpy as np
from scipy.integrate import quad

FIDUCIAL = dict(
    Om=0.3, OL=0.7, w=-1.0, M0=-19.3, sres=0.1, alpha=0.13, beta=2.56, xb=0.0, Rx=1.0,
    cb=0.0, Rc=0.1,
)  # fmt: skip
S = np.array([[0.0016, 0.0, 0.0006], [0.0, 0.09, 0.0], [0.0006, 0.0, 0.0009]])


def modulus(z, Om, OL, w, z_helio=None, H0=70.0):
    """Distance moduli by adaptive quadrature."""
    Ok = 1 - Om - OL
    out = []
    for one, helio in zip(z, z if z_helio is None else z_helio, strict=True):

        def inverse(x):
            a = 1 + x
            return (Om * a**3 + Ok * a**2 + OL * a ** (3 * (1 + w))) ** -0.5

        D = quad(inverse, 0, one, epsabs=1e-13, epsrel=1e-13, limit=200)[0]
        if Ok > 1e-10:
            D = np.sinh(np.sqrt(Ok) * D) / np.sqrt(Ok)
        elif Ok < -1e-10:
            D = np.sin(np.sqrt(-Ok) * D) / np.sqrt(-Ok)
        out.append(5 * np.log10((1 + helio) * 299792.458 / H0 * D) + 25)
    return np.array(out)


def moments(g, mu, covariance):
    """Means (N, 3) and covariances (N, 3, 3) of the data."""
    A = np.array([[1, -g["alpha"], g["beta"]], [0, 1, 0], [0, 0, 1]])
    D = np.diag([g["sres"] ** 2, g["Rx"] ** 2, g["Rc"] ** 2])
    mean = np.tile(A @ [g["M0"], g["xb"], g["cb"]], (len(mu), 1))
    mean[:, 0] += mu
    return mean, A @ D @ A.T + covariance


def log_density(g, d, z, covariance):
    """ln p(d_s | globals) of each object."""
    from scipy.stats import multivariate_normal

    mean, cov = moments(g, modulus(z, g["Om"], g["OL"], g["w"]), covariance)
    return np.array(
        [
            multivariate_normal(m, c).logpdf(x)
            for m, c, x in zip(mean, cov, d, strict=True)
        ]
    )

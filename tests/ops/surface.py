"""Expressions that exercise the surface: NumPy's names on named arrays.

Each is evaluated with `np` bound to NumPy and to `gradiverse.ops`, on plain and on
traced arrays. Capital letters are matrices or more, small ones vectors and scalars.
"""

import re

import numpy as np

_rng = np.random.default_rng(7)


def _complex(*shape):
    return _rng.normal(size=shape) + 1j * _rng.normal(size=shape)


def _spd(n):
    x = _rng.normal(size=(n, n))
    return x @ x.T / n + np.eye(n)


#: differentiable arrays
ARRAYS = {
    "A": _rng.normal(size=(3, 4)),
    "B": _rng.normal(size=(3, 4)),
    "R": _rng.normal(size=(4, 2)),
    "S": _rng.normal(size=(3, 3)),
    "M": _rng.normal(size=(2, 3, 3)),
    "Y": _spd(3),
    "T": _rng.normal(size=(2, 3, 4)),
    "Q": _rng.normal(size=(2, 4, 5)),
    "C": _complex(3, 4),
    "D": _complex(3, 3),
    "H": _complex(2, 5),
    "P": _rng.uniform(0.4, 2.5, (3, 4)),
    "U": _rng.uniform(-0.9, 0.9, (3, 4)),
    "v": _rng.normal(size=4),
    "w": _rng.normal(size=4),
    "u": _rng.normal(size=7),
    "r": np.sort(_rng.uniform(0, 5, 6)),
    "e": _rng.normal(size=3),
    "c": _complex(5),
    "s": np.array(0.7),
}
#: constants
CONSTANTS = {
    "i": np.array([2, 0, 2]),
    "j": np.array([[0, 1], [-1, 2]]),
    "m": np.array([True, False, True]),
    "K": _rng.normal(size=(3, 4)) > 0,
    "N": _rng.integers(-5, 6, (3, 4)),
    "I": np.argsort(_rng.normal(size=(3, 4)), axis=1),
    "W": np.where(_rng.normal(size=(3, 4)) > 0.7, np.nan, 1.0),
    "inf": np.inf,
    "nan": np.nan,
    "pi": np.pi,
    "None": None,
    "range": range,
}

# The derivative is checked for these: values are smooth in the arrays named.
SMOOTH = """
np.abs(A); np.absolute(C); np.fabs(A); np.negative(A); np.positive(A); np.sign(C)
np.square(A); np.square(C); np.sqrt(P); np.sqrt(C); np.cbrt(P); np.reciprocal(P)
np.exp(A); np.exp(C); np.exp2(A); np.exp2(C); np.expm1(A); np.expm1(C); np.log(P)
np.log(C); np.log2(P); np.log2(C); np.log10(P); np.log10(C); np.log1p(P); np.log1p(C)
np.sin(A); np.sin(C); np.cos(A); np.cos(C); np.tan(U); np.tan(C); np.arcsin(U)
np.arccos(U); np.arctan(A); np.sinh(A); np.sinh(C); np.cosh(A); np.cosh(C); np.tanh(A)
np.tanh(C); np.arcsinh(A); np.arccosh(P + 1); np.arctanh(U); np.asin(U); np.acos(U)
np.atan(A); np.asinh(A); np.acosh(P + 1); np.atanh(U); np.atan2(A, B); np.deg2rad(A)
np.rad2deg(A); np.radians(A); np.degrees(A); np.sinc(A); np.sinc(A * 0); np.conj(C)
np.conjugate(C); np.real(C); np.imag(C); np.real(A); np.angle(C)
np.angle(C, deg=True); np.real_if_close(A); np.nan_to_num(A); np.nan_to_num(C)
np.add(A, B); np.add(A, v); np.add(A, s); np.add(1, A); np.add(C, A); np.add(A, N)
np.subtract(A, B); np.subtract(2.5, A); np.multiply(A, v); np.multiply(A, C)
np.divide(A, P); np.divide(1, P); np.divide(C, P); np.true_divide(A, 3)
np.divide(N, P); np.power(P, A); np.power(A, 2); np.power(A, 3); np.power(P, 0.5)
np.power(P, -1); np.power(2.0, A); np.power(A, N * N); np.power(C, 2); np.power(A, 1)
np.pow(P, A); np.float_power(P, A); np.power(P, C); np.power(P, 2.5); np.power(A, 4)
np.remainder(A, P); np.mod(A, 0.7); np.fmod(A, P); np.divmod(A, P)[1]; np.modf(A)[0]
np.maximum(A, B); np.maximum(A, 0); np.minimum(A, v); np.fmax(A, B); np.fmin(A, 0.1)
np.arctan2(A, B); np.hypot(A, B); np.logaddexp(A, B); np.logaddexp2(A, B)
np.copysign(A, B); np.heaviside(A, 0.5); np.where(K, A, B); np.where(K, A, 0.0)
np.where(m[:, None], A, v); np.where(A > 0, A, s); np.clip(A, -0.5, 0.5)
np.clip(A, None, 0.3); np.clip(A, B - 1, B + 1); np.select([A > 1, A > 0], [A, B])
np.select([K], [A * 2], 3.0); np.piecewise(A, [A > 0], [np.exp, np.square])
np.choose(N % 2, [A, B]); np.unwrap(u * 3); np.unwrap(T * 4, axis=1); np.sum(A)
np.sum(A, axis=0); np.sum(T, axis=(0, -1), keepdims=True); np.sum(C, axis=1)
np.sum(A, where=K); np.sum(A, axis=1, initial=2.0); np.sum(A, axis=()); np.prod(P)
np.prod(A, axis=1); np.prod(C, axis=0); np.prod(A * K, axis=1); np.mean(A)
np.mean(A, axis=0, keepdims=True); np.mean(C); np.mean(T, axis=(0, 2))
np.mean(A, where=K); np.var(A); np.var(A, axis=1, ddof=1); np.var(C, axis=0)
np.std(A, axis=0, ddof=1); np.std(T, axis=(0, 1), keepdims=True)
np.var(A, axis=1, where=K | True); np.average(A); np.average(A, axis=1, weights=P[0])
np.average(A, weights=P); np.average(T, axis=(2, 0), weights=P.T[:, :2]); np.max(A)
np.max(A, axis=0); np.amax(T, axis=(0, 2), keepdims=True); np.min(A, axis=1)
np.amin(A); np.max(A, initial=0.4, where=K, axis=1); np.ptp(A, axis=1)
np.nansum(np.where(K, A, nan)); np.nansum(np.where(K, A, nan), axis=0)
np.nanprod(np.where(K, A, nan), axis=1); np.nanmean(np.where(K, A, nan))
np.nanvar(np.where(K, A, nan)); np.nanstd(np.where(K, A, nan))
np.nanmax(np.where(K, A, nan)); np.nanmin(np.where(K, A, nan)); np.cumsum(A)
np.cumsum(A, axis=0); np.cumsum(C, axis=1); np.cumprod(A, axis=1); np.cumprod(P)
np.cumprod(C, axis=0); np.cumulative_sum(A, axis=1, include_initial=True)
np.cumulative_prod(A, axis=0); np.nancumsum(np.where(K, A, nan), axis=1)
np.nancumprod(np.where(K, A, nan)); np.cov(A); np.cov(A, B, rowvar=False)
np.cov(v, w, bias=True); np.cov(v); np.cov(C); np.corrcoef(A); np.corrcoef(v, w)
np.polyval(v, A); np.polyval([1.0, 2.0, 3.0], u); np.trapezoid(A)
np.trapezoid(A, dx=0.5, axis=0); np.trapezoid(v, r[:4])
np.trapezoid(T, T * T, axis=1); np.sort(A); np.sort(A, axis=0); np.sort(T, axis=None)
np.partition(u, 3)[3]; np.median(A); np.median(A, axis=1)
np.median(T, axis=(0, 2), keepdims=True); np.quantile(A, 0.3, axis=1)
np.quantile(u, [0.1, 0.5, 0.9]); np.percentile(A, 70.0)
np.quantile(u, 0.3, method='hazen'); np.quantile(u, 0.3, method='lower')
np.quantile(u, 0.4, method='nearest'); np.quantile(u, 0.37, method='median_unbiased')
np.quantile(T, 0.4, axis=(0, 1), method='weibull')
np.quantile(u, 0.1, method='higher'); np.interp(A, r, r ** 2)
np.interp(np.array([0.3, 2.0, 4.0]), r, u[:6])
np.interp(u, r, u[:6], left=-1.0, right=2.0); np.interp(u, r, r ** 2, period=6.0)
np.reshape(A, (2, 6)); np.reshape(A, (-1, 2), order='F'); np.reshape(A, 12)
np.ravel(T); np.ravel(A, order='F'); np.transpose(T); np.transpose(T, (1, 2, 0))
np.permute_dims(T, (2, 0, 1)); np.swapaxes(T, 0, 2); np.moveaxis(T, 0, -1)
np.moveaxis(T, (0, 1), (2, 0)); np.rollaxis(T, 2); np.rollaxis(T, 0, 3)
np.expand_dims(A, 1); np.expand_dims(A, (0, -1)); np.squeeze(A[None, :, None])
np.squeeze(T[:, :1], axis=1); np.broadcast_to(v, (3, 4)); np.matrix_transpose(T)
np.broadcast_arrays(A, v); np.atleast_1d(s); np.atleast_2d(v); np.atleast_3d(A)
np.atleast_3d(v); np.concatenate([A, B]); np.concatenate([A, N, v[None]], axis=0)
np.concatenate((A, B), axis=None); np.concat([v, w]); np.stack([v, w])
np.stack([A, N], 2); np.stack([s, 1.0]); np.vstack([v, A]); np.hstack([v, w])
np.hstack([A, B]); np.dstack([A, B]); np.column_stack([v, w, R]); np.append(A, v)
np.append(A, B, axis=1); np.block([[A, B], [B, A]]); np.block([v, w])
np.array_split(A, 3, axis=1); np.split(A, 2, axis=1); np.split(u, [2, 5])
np.hsplit(A, 2); np.vsplit(A, 3); np.dsplit(T, 2); np.array_split(u, 3); np.unstack(A)
np.delete(A, 1, axis=0); np.delete(u, [0, 3]); np.repeat(A, 2)
np.repeat(A, 3, axis=1); np.repeat(A, [1, 0, 2], 0); np.tile(A, 2); np.tile(v, (2, 3))
np.tile(T, (2, 1, 1, 2)); np.resize(v, (3, 3)); np.pad(A, 1)
np.pad(A, ((1, 0), (2, 3))); np.pad(v, 2, mode='edge')
np.pad(A, ((1, 2), (2, 1)), mode='reflect'); np.pad(A, 2, mode='wrap')
np.pad(A, 1, mode='symmetric'); np.pad(A, 1, constant_values=3.0)
np.pad(A, (1, 2), constant_values=((1.0, 2.0), (3.0, 4.0))); np.flip(T)
np.flip(T, (0, 2)); np.flipud(A); np.fliplr(A); np.roll(A, 2); np.roll(A, -1, axis=1)
np.roll(T, (1, -2), axis=(0, 2)); np.rot90(A); np.rot90(T, 3, (1, 2)); np.rot90(A, 2)
np.diff(A); np.diff(A, n=2, axis=0); np.diff(v, prepend=0.0, append=w); np.ediff1d(A)
np.gradient(A); np.gradient(u, 0.5); np.gradient(u[:6], r); np.gradient(A, axis=0)
np.gradient(u, edge_order=2); np.gradient(u[:6], r, edge_order=2)
np.gradient(A, 2.0, r[:4], axis=(0, 1)); np.diag(v); np.diag(v, 1); np.diag(v, -2)
np.diag(A); np.diag(A, 1); np.diag(A, -1); np.diagflat(A[:2, :2])
np.diagonal(T, axis1=1, axis2=2); np.diagonal(T, 1, 0, 2); np.trace(S)
np.trace(T, 1, 1, 2); np.tril(A); np.tril(T, -1); np.triu(A, 1); np.triu(v)
np.full_like(A, s); np.linspace(s, 3.0, 5); np.linspace(v, w, 4, axis=1)
np.linspace(0.0, s, 4, endpoint=False); np.logspace(s, 2.0, 4)
np.geomspace(1.0, s, 4); np.meshgrid(v, e); np.meshgrid(v, e, indexing='ij')
np.vander(e, 4); np.copy(A); np.meshgrid(v, e, sparse=True)
np.astype(A, np.complex128); np.vander(e, increasing=True); np.take(A, i)
np.take(A, i, axis=0); np.take(A, j, axis=1); np.take(v, 2)
np.take(u, [9, -9], mode='wrap'); np.take(u, [9, -9], mode='clip')
np.take_along_axis(A, I, axis=1); np.take_along_axis(A, I[:1, :] * 0, axis=0)
np.compress(m, A, axis=0); np.extract(K, A); np.matmul(A, R); np.matmul(v, w)
np.matmul(A, v); np.matmul(e, A); np.matmul(T, R); np.matmul(T, Q); np.matmul(A, Q)
np.matmul(e, T); np.matmul(T, v); np.matmul(S, C); np.matmul(A, N.T); np.dot(A, R)
np.dot(v, w); np.dot(T, Q); np.dot(s, A); np.dot(T, v); np.inner(A, B); np.inner(v, T)
np.inner(A, 2.0); np.outer(v, e); np.outer(A, e); np.vdot(A, B); np.vdot(C, D @ C)
np.vecdot(A, B); np.vecdot(T, T[0], axis=-2); np.vecdot(C, C); np.matvec(T, v)
np.vecmat(e, T); np.tensordot(T, A); np.tensordot(T, Q, axes=((2,), (1,)))
np.tensordot(T, T, axes=((0, 1), (0, 1))); np.tensordot(v, e, axes=0); np.kron(A, R)
np.kron(v, A); np.kron(T, A); np.cross(A[:, :3], S); np.cross(e, e[::-1])
np.cross(M, S); np.cross(A[:, :2], B[:, :2])
np.cross(S, S[::-1], axisa=0, axisb=1, axisc=0); np.cross(A[:, :2], S)
np.convolve(u, v); np.convolve(v, u, 'same'); np.convolve(u, e, 'valid')
np.correlate(u, v); np.correlate(v, u, 'full'); np.correlate(c, c[:3], 'full')
np.correlate(e, u, 'same'); np.correlate(u, e, 'same'); np.correlate(v, e, 'same')
np.einsum('ij,jk', A, R); np.einsum('ij->ji', A); np.einsum('ii', S)
np.einsum('ii->i', S); np.einsum('ij,ij->i', A, B); np.einsum('ij,j', A, v)
np.einsum('bij,bjk->bik', T, Q); np.einsum('...ij,...jk', T, Q)
np.einsum('ij,kj,kl->il', A, B, S); np.einsum('i,j,k->kij', v, e, u)
np.einsum('ijk->', T); np.einsum('i...->...', T)
np.einsum(A, [0, 1], R, [1, 2], [0, 2]); np.einsum('iij->j', M.transpose(1, 2, 0))
np.einsum('ij,jk,kl,lm->im', A, R, R.T, A.T); np.einsum('i,i->i', s[None], v)
np.einsum('ij,ik->jk', C, D); np.einsum('bi,bj->ij', T[:, 0], T[:, 1])
np.einsum('...,...', A, v); np.einsum('ij,i->ij', A, e); np.einsum('ii,jj->ij', S, S)
np.linalg.inv(S); np.linalg.inv(M); np.linalg.inv(D); np.linalg.det(S)
np.linalg.det(M); np.linalg.det(D); np.linalg.det(R[:2])
np.linalg.det(R @ R.T + np.eye(4)); np.linalg.slogdet(S)[1]; np.linalg.slogdet(D)
np.linalg.slogdet(M)[1]; np.linalg.solve(S, e); np.linalg.solve(M, e)
np.linalg.solve(M, S); np.linalg.solve(D, C); np.linalg.norm(A); np.linalg.norm(v)
np.linalg.norm(C); np.linalg.norm(A, axis=1); np.linalg.norm(v, 1)
np.linalg.norm(v, 3); np.linalg.norm(v, inf); np.linalg.norm(v, -inf)
np.linalg.norm(A, 'fro'); np.linalg.norm(A, 'nuc'); np.linalg.norm(A, 2)
np.linalg.norm(A, -2); np.linalg.norm(A, 1); np.linalg.norm(A, -1)
np.linalg.norm(A, inf); np.linalg.norm(T, axis=(1, 2))
np.linalg.norm(T, 'nuc', axis=(0, 2), keepdims=True)
np.linalg.norm(T, 4, axis=1, keepdims=True); np.linalg.norm(v, 0.5)
np.linalg.norm(c, 3); np.linalg.norm(A, -inf, axis=(1, 0))
np.linalg.vector_norm(T, axis=(0, 1)); np.linalg.vector_norm(A, ord=3)
np.linalg.matrix_norm(T); np.linalg.matrix_norm(T, ord=1); np.linalg.eigh(Y + Y.T)[0]
np.linalg.eigvalsh(Y + Y.T); np.linalg.eigvalsh(Y + Y.T, 'U'); np.linalg.eigvals(S)
np.linalg.svd(A, full_matrices=False)[1]; np.linalg.svdvals(M)
np.linalg.svd(A, compute_uv=False); np.linalg.pinv(A); np.linalg.pinv(R)
np.linalg.pinv(C); np.linalg.pinv(M); np.linalg.cholesky(Y + Y.T)
np.linalg.cholesky(Y + Y.T, upper=True); np.linalg.qr(R); np.linalg.qr(A, mode='r')
np.linalg.qr(S); np.linalg.matrix_power(S, 3); np.linalg.matrix_power(S, -2)
np.linalg.matrix_power(M, 5); np.linalg.matrix_power(S, 0)
np.linalg.multi_dot([v, A.T, S, A]); np.linalg.multi_dot([A, R, R.T, v])
np.linalg.lstsq(R, v)[0]; np.linalg.lstsq(R, A.T); np.linalg.lstsq(A, e)[0]
np.linalg.cond(S); np.linalg.cond(S, 1); np.linalg.cond(S, -2)
np.linalg.cond(S, 'fro'); np.linalg.tensorsolve(np.reshape(S, (3, 1, 3)), e[:, None])
np.linalg.tensorinv(np.reshape(R @ R.T + np.eye(4), (2, 2, 4))); np.linalg.outer(v, e)
np.linalg.cross(e, e[::-1]); np.linalg.matrix_transpose(T); np.linalg.tensordot(T, A)
np.linalg.vecdot(A, B); np.linalg.matmul(A, R); np.linalg.diagonal(T)
np.linalg.trace(M); np.linalg.diagonal(T, offset=1); np.fft.fft(C); np.fft.fft(A)
np.fft.fft(u, 5); np.fft.fft(u, 9, norm='ortho'); np.fft.fft(C, axis=0)
np.fft.ifft(c); np.fft.ifft(C, 6, norm='forward'); np.fft.fft2(T)
np.fft.ifft2(T, s=(4, 3)); np.fft.fftn(T); np.fft.fftn(T, axes=(0, 2), norm='forward')
np.fft.ifftn(C); np.fft.ifftn(T, s=(3, 5), axes=(1, 0)); np.fft.rfft(u)
np.fft.rfft(v); np.fft.rfft(A, 6); np.fft.rfft(A, 3, axis=0, norm='ortho')
np.fft.irfft(c); np.fft.irfft(c, 9); np.fft.irfft(c, 5, norm='forward')
np.fft.irfft(H, axis=0, n=3); np.fft.rfft2(T); np.fft.rfftn(T)
np.fft.rfftn(T, s=(3, 2), axes=(2, 1)); np.fft.irfft2(C); np.fft.irfftn(H)
np.fft.irfftn(H, s=(4, 7), axes=(1, 0)); np.fft.rfft2(A, norm='ortho'); np.fft.hfft(c)
np.fft.hfft(c, 7, norm='ortho'); np.fft.ihfft(u); np.fft.ihfft(v, 6)
np.fft.fftshift(u); np.fft.ifftshift(u); np.fft.fftshift(A, axes=0)
np.fft.fftshift(T); A[1]; A[-1, 2]; A[:, 1]; A[::2, ::-1]; A[..., None, 1:]
T[1, ..., ::-2]; A[i]; A[:, i]; A[i, i]; A[j]; T[:, i, 1]; T[:, :, i]; T[0, i]
T[i % 2, :, i]; A[m]; A[K]; A[m, 1:3]; T[..., m, :]; T[:, m][:, :, i]; A[i, None]
A[None, i, 1]; T[1, :, j]; A[True]; A[False]; A[np.array([], int)]; A[[0, 2], [1, 3]]
A[[0, 2]]; T[:, i[:, None], j[0]]; A[-3:-1]; T[j % 2, i[:2, None] * 0, 1]
T[:, None, m]; T[0, :, [1, 2]]; u[::-1]; u[5:1:-2]; A[3:1]; A * 2 + B / 3 - 1; 2 ** A
A ** 2 - v; -A; +A; abs(A); A @ R; e @ A; A % 0.7; A // 1 * A; 1 / P; 1 - A; A.T @ B
A.sum(0).mean(); A.reshape(4, 3); A.reshape((2, -1)); T.transpose(2, 0, 1)
A.max(axis=1); A.std(); A.var(0); A.cumsum(1); A.clip(-0.3, 0.3); A.ravel()
A.flatten(); C.real; C.imag; C.conj(); A.dot(R); A.swapaxes(0, 1); A[None].squeeze()
A.take(i, 1); A.astype(complex); A.repeat(2); A.diagonal(); A.prod(0); A.min()
A.round(1) * A; T.mT; np.ptp(A, 0); A.copy(); np.add.reduce(A)
np.multiply.reduce(A, axis=1); np.add.accumulate(A, 1); np.add.outer(v, e)
np.maximum.reduce(A); np.multiply.outer(A, e)
"""

# Zero derivatives, or values that are not differentiable: values alone are compared.
STEPS = """
np.floor(A); np.ceil(A); np.trunc(A); np.rint(A * 3); np.round(A, 1)
np.around(A * 30, -1); np.fix(A); np.floor(N); np.rint(C * 3); np.floor_divide(A, P)
np.floor_divide(N, 3); np.divmod(A, P)[0]; np.modf(A)[1]; np.sign(A); np.signbit(A)
np.sign(N); np.equal(A, B); np.not_equal(A, A); np.greater(A, B)
np.greater_equal(A, 0); np.less(A, v); np.less_equal(A, s); np.equal(C, C); A == B
A != v; A > 0; A >= B; A < 1; A <= 0.5; np.isfinite(A); np.isnan(np.where(K, A, nan))
np.isinf(A); np.isposinf(A); np.isneginf(A); np.isreal(C); np.iscomplex(C)
np.iscomplexobj(A); np.isrealobj(A); np.logical_and(A > 0, B); np.logical_or(A > 0, K)
np.logical_xor(A > 0, B > 0); np.logical_not(A > 0); (A > 0) & K; (A > 0) | K
(A > 0) ^ K; ~(A > 0); np.bitwise_and(A > 0, K); np.bitwise_or(A > 0, K)
np.bitwise_xor(A > 0, K); np.invert(A > 0); np.bitwise_not(A > 0)
np.bitwise_invert(A > 0); np.all(A > -9); np.any(A > 1, axis=0)
np.all(A > 0, axis=1, keepdims=True); np.count_nonzero(A > 0)
np.count_nonzero(A > 0, axis=1); np.argmax(A); np.argmax(A, axis=0)
np.argmin(T, axis=1); np.argmin(A, axis=1, keepdims=True); np.argsort(A)
np.argsort(A, axis=0); np.argsort(T, axis=None); np.argpartition(u, 3)[3]
np.searchsorted(r, A); np.searchsorted(r, u, side='right')
np.searchsorted(np.sort(v), 0.2); np.digitize(A, r - 2)
np.digitize(A, (r - 2)[::-1], right=True); np.nonzero(A > 0); np.argwhere(A > 0)
np.flatnonzero(A > 0); np.where(A > 0); np.allclose(A, A + 1e-9); np.allclose(A, B)
np.isclose(A, A + 1e-9); np.array_equal(A, A); np.array_equal(A, B)
np.array_equal(A, v); np.array_equiv(A, A); np.array_equiv(A, v); np.ndim(A)
np.shape(A); np.size(A); np.size(A, 1); np.zeros_like(A); np.ones_like(A, dtype=int)
np.empty_like(A) * 0; np.result_type(A, 1j); np.full_like(A, 3)
np.linalg.matrix_rank(A); np.linalg.matrix_rank(M); np.sum(A > 0)
np.max(A > 0, axis=0); np.cumsum(A > 0); np.astype(A * 9, np.int64); np.mean(A > 0)
np.add.reduce(A > 0); A.argmax(); A.argsort(1); A.nonzero(); (A > 0).any()
(A > 0).all(0); len(A); A.ndim; A.size; A.shape; A.dtype; A.astype(bool)
np.array_equal(A, A * 1)
"""


def expressions(text):
    """Split a table into its expressions."""
    return [e.strip() for line in text.strip().splitlines() for e in line.split("; ")]


def names_in(expression):
    """The differentiable arrays an expression uses."""
    text = re.sub(r"'[^']*'", "", expression)
    return [n for n in ARRAYS if re.search(rf"(?<![\w.]){n}(?!\w)(?!\s*=[^=])", text)]


def functions_in(text):
    """The NumPy functions a table uses, as dotted names."""
    found = set()
    for name in re.findall(r"np\.([a-zA-Z_][\w.]*)\(", text):
        found.add(re.sub(r"\.(reduce|accumulate|outer|at)$", "", name)
                  if name.count(".") == 1 and name.split(".")[0] in ("add", "multiply",
                  "maximum") else name)  # fmt: skip
    return found

"""NRE: neural ratio estimation for all parameters at once, or for many marginals."""

import warnings

import numpy as np

from .. import optim, random, train
from ..nn import Layer
from ._contrasts import Contrast
from ._coordinates import Coordinates, subsets
from ._heads import ProductHead, RefinedHead, ResidualHead
from ._model_file import load, save
from ._network import Flatten, Network
from ._pool import check_prior
from ._recalibrate import LEAST
from ._recalibrate import fit as recalibration
from ._rows import generator
from ._source import (
    Source,
    broadcast,
    leading,
    redrawing,
    redrawn,
    reshaped,
    row,
)
from ._standardise import standardiser
from ._watch import watch
from .failures import Validity
from .posterior import Posterior
from .prior import Prior

__all__ = ["NRE"]

_TRAINING = {
    "epochs": 100,
    "batch_size": None,
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "clip": 5.0,
    "average": 0.99,
    "patience": 20,
    "validation": 0.1,
    "optimizer": None,
    "rng": 0,
    "progress": False,
    "callback": None,
}
_REFINE = {
    "atoms": 8,
    "batch_size": 128,
    "learning_rate": 4e-3,
    "weight_decay": 0.01,
    "epochs": 60,
    "width": None,
}
_BLOCK = 128  # marginals trained at once where they share nothing


class NRE:
    """Neural ratio estimation.

    Parameters
    ----------
    prior : Prior
        That the parameters were drawn from.
    loss : "nre-c", "nre-a", "nre-b" or "bnre"
    marginals : None, "1d", "2d" or list of index tuples
        None: one ratio of all parameters. Otherwise one for each subset, all heads
        trained at once as grouped networks.
    embedding : Layer, optional
        Network from standardised data to features; its output is flattened. Shared by
        all marginals, trained with them.
    failures : "accident" or "outcome"
        What a failed (not finite) simulation means: the solver crashed and the real
        data could not have failed, or validity is part of the data.
    head : None, "residual" or callable
        None: f(θ) · g(x) + a(θ) with networks f, g, a, which holds every exponential
        family; narrower ones where there are several marginals. "residual": a residual
        network with batch normalisation on features and parameters. A callable
        ``head(groups, n_theta, n_features)`` returns a `Head`.
    inputs : "both", "score" or "uniform"
        How a parameter enters: normal score, √12 (cdf - ½), or both.
    data : "standard" or "scores"
        How vectors of data enter: (x - mean) / std, or that beside normal scores of
        the empirical distribution, for data over many orders of magnitude.
    atoms : int, optional
        K of NRE-B and NRE-C, at most the batch. None: 256 for the default head, whose
        pairs are cheap, and 8 for others.
    gamma, strength : float
        Odds of NRE-C; λ of BNRE.
    refine : bool or dict
        After the default head, train a small residual network of (θ, x) pairs that is
        added to it, together with it: for posteriors that are narrow about curves. It
        is left out where it gains nothing on the validation rows. A dict changes atoms
        8, batch_size 128, learning_rate 4e-3, weight_decay .01, epochs 60, width (64,
        or 16 for each of several marginals).
    members : int
        Networks trained from different seeds whose log ratios are averaged.
    recalibrate : bool
        Weigh each one-dimensional posterior by a smooth function of its own
        credibility, so that the validation rows are covered as often as they should be:
        four numbers for each marginal. It takes a posterior for each validation row.
    augment : callable, optional
        ``augment(batch, key) -> batch`` for {"theta", "x"}, traced: redraw the noise of
        raw x at every step, given theta (n, d) in the prior's units, which stays.
    **training
        epochs 100, batch_size None (1/40 of the rows, from 32 to 256), learning_rate
        1e-2 (the top of a cosine after one epoch of warm-up, or a schedule),
        weight_decay 0.1, clip 5, average 0.99 (of the weights, from step to step),
        patience 20, validation 0.1, optimizer None (AdamW with these), rng 0, progress
        False, callback None: as for `gradiverse.train.fit`.

    Attributes
    ----------
    history : list of DataFrame
        One for each network trained; of its second stage where it is refined.
    n_failed, n_rows : int
        Failed rows and all rows of the last `fit`.

    Raises
    ------
    ValueError, TypeError
        For options that do not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import NRE, Prior
    >>> prior = Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))
    >>> rng = np.random.default_rng(0)
    >>> theta = prior.sample(1000, rng)
    >>> x = theta + 0.1 * rng.normal(size=theta.shape)
    >>> est = NRE(prior, marginals="1d", epochs=3).fit(theta, x)
    >>> est.log_ratio(theta[:5], x[:5]).shape
    (5, 2)
    >>> est.posterior(x[0]).sample(3, rng=0).shape
    (3, 2)
    """

    def __init__(
        self,
        prior,
        loss="nre-c",
        marginals=None,
        embedding=None,
        failures="accident",
        *,
        head=None,
        inputs="both",
        data="standard",
        atoms=None,
        gamma=1.0,
        strength=100.0,
        refine=False,
        members=1,
        recalibrate=False,
        augment=None,
        **training,
    ):
        unknown = set(training) - set(_TRAINING)
        if unknown:
            raise TypeError(
                f"NRE: no option {', '.join(sorted(unknown))}; of the training there"
                f" are {', '.join(_TRAINING)}"
            )
        if failures not in ("accident", "outcome"):
            raise ValueError(
                f"NRE: failures={failures!r}; choose 'accident' (the real data could"
                " not have failed) or 'outcome' (validity is part of the data)"
            )
        if embedding is not None and not isinstance(embedding, Layer):
            raise TypeError(
                f"NRE: embedding is a {type(embedding).__name__}; give a gv.nn.Layer"
            )
        if not isinstance(members, (int, np.integer)) or members < 1:
            raise ValueError(f"NRE: members={members!r}; give an int >= 1")
        if not isinstance(prior, Prior):
            raise TypeError(
                f"NRE: prior is a {type(prior).__name__}; give a gv.inference.Prior,"
                " such as Prior(a=(0.0, 1.0))"
            )
        self.refine = _refinement(refine, head)
        self.prior = prior
        self.marginals = subsets(marginals, prior.d, list(prior.names))
        self.coordinates = Coordinates(prior, self.marginals, inputs)
        if atoms is None:
            atoms = 256 if head is None else 8
        self.contrast = Contrast(loss, atoms, gamma, strength)
        self.loss, self.failures, self.embedding = loss, failures, embedding
        self.head, self.inputs, self.members = head, inputs, int(members)
        self.augment, self.data = augment, data
        self.recalibrate, self.tilts = bool(recalibrate), None
        if self.recalibrate and max(map(len, self.marginals)) > 1:
            raise ValueError(
                "NRE: recalibrate is for one-dimensional marginals; give marginals='1d'"
            )
        standardiser(data)
        if augment is not None and not callable(augment):
            raise TypeError(
                f"NRE: augment is a {type(augment).__name__}; give a function"
                " (batch, key) -> batch"
            )
        self.training = {**_TRAINING, **training}
        _check_training(self.training)
        self.history, self._blocks, self.standardiser = [], [], None
        self.validity = self.familiar = None

    def __repr__(self):
        state = "trained" if self._blocks else "not trained"
        n = len(self.marginals)
        what = "joint" if self.coordinates.joint else f"{n} marginals"
        return f"<NRE {self.loss}, {what}, {state}>"

    # --- training -------------------------------------------------------------------
    def fit(self, theta, x=None, *, near=None):
        """Train on simulations.

        Parameters
        ----------
        theta : (n, d) array, or a Bank
        x : (n, ...) array, or dict of arrays
        near : (n,) bool array, optional
            Parameters and data are scaled to these rows, others being further out: for
            simulations of which most, or the ones that matter, lie in a small part of
            the prior. Posteriors are still those of `prior`, if the rows are.

        Returns
        -------
        NRE
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If rows do not match the prior, a bank is of another prior, or too few rows
            are valid.
        """
        if x is None and not (hasattr(theta, "arrays") and hasattr(theta, "rows")):
            raise TypeError(
                f"NRE.fit: got theta, a {type(theta).__name__}, without x; give"
                " .fit(theta, x), or a Bank"
            )
        check_prior(theta, self.prior, "NRE.fit")
        if x is not None:
            _check_rows(x)
        source = Source(self, theta, x)
        if self.recalibrate and source.held < LEAST:
            raise ValueError(
                f"NRE.fit: {source.held} validation rows are too few to recalibrate"
                f" with; give validation=, or more simulations, for at least {LEAST}"
            )
        self.n_rows, self.n_failed = source.n, source.n_failed
        self.x_shape = source.shape
        self._report_failures(source)
        self._scale(source, near)
        rng = np.random.SeedSequence(_entropy(self.training["rng"]))
        self.history, self._blocks, self.tilts = [], [], None
        for network in self._networks(self._features(source.example())):
            seeds = rng.spawn(self.members)
            members = [self._fit_member(network, source, seed) for seed in seeds]
            self._blocks.append((network, members))
        self.familiar = watch(self, source)
        self.tilts = self._tilts(source) if self.recalibrate else None
        return self

    def _tilts(self, source):
        """Of each marginal, from the validation rows."""
        held = np.sort(source.order[len(source.rows) - source.held :])
        c = [
            self._posterior(self._seen(source, [i])).credibility(source.theta[i])
            for i in held
        ]
        weights = np.ones((len(held), len(self.marginals)))
        if self.n_failed and self.failures == "accident":
            # valid rows are draws of prior times validity, posteriors those of prior
            validity = self._validity(source)
            z = validity.coordinates.scores(source.theta[held])
            weights = np.exp(-validity.log_scores(z))
        columns = zip(np.array(c).T, weights.T, strict=True)
        return np.stack([recalibration(*column) for column in columns])

    def _seen(self, source, rows):
        """Raw data of rows as the training sees them: with noise of their own."""
        x = source.some(rows)
        if self.augment is None:
            return x
        key = random.fold_in(random.key(20_212), int(rows[0]))
        x = redrawn(self.augment, source.theta[rows], x, key)
        return {k: np.asarray(v) for k, v in x.items()} if isinstance(x, dict) else (
            np.asarray(x)
        )  # fmt: skip

    def _scale(self, source, near):
        """Coordinates and standardisation; about the rows `near` if there are some."""
        plain = Coordinates(self.prior, self.marginals, self.inputs)
        if near is None:
            self.coordinates, self.standardiser = plain, source.moments()
            return
        rows = source.near(near)
        self.coordinates = plain.centred(plain.scores(source.theta[rows]))
        self.standardiser = source.moments(rows)

    def _networks(self, features):
        """The networks of all blocks of marginals, for data of so many features."""
        embedding = self.embedding or Flatten()
        split = len(self.marginals) > _BLOCK and not embedding.init(0)
        size = _BLOCK if split else len(self.marginals)
        for i in range(0, len(self.marginals), size):
            mine = slice(i, i + size)
            coordinates = self.coordinates.part(mine) if split else self.coordinates
            head = self._make_head(*coordinates.shape, features)
            yield Network(embedding, head, coordinates, self._standardise)

    def _fit_member(self, network, source, seed):
        start, run, second = seed.spawn(3)
        params, state = network.init(start)
        if not self.refine:
            fitted = self._train(network, source, params, state, run)
            self.history.append(fitted.history)
            return fitted.params, fitted.state
        product = network.with_head(network.head.product)
        first = {**params, "head": params["head"]["product"]}
        fitted = self._train(product, source, first, state, run)
        params["embedding"] = fitted.params["embedding"]
        params["head"]["product"] = fitted.params["head"]
        fitted = self._train(network, source, params, fitted.state, second, self.refine)
        self.history.append(fitted.history)
        return fitted.params, fitted.state

    def _train(self, network, source, params, state, rng, refine=None):
        """`gradiverse.train.fit` of a network; its second stage with `refine`."""
        o, contrast = {**self.training, **(refine or {})}, self.contrast
        if refine:
            contrast = contrast.with_atoms(refine["atoms"])
        stateless, stateful = network.objective(contrast, source.standard)
        return train.fit(
            stateless if state is None else stateful,
            params,
            source.data(network.coordinates.used),
            optimizer=self._optimizer(o),
            batch_size=source.fine if refine else source.batch,
            epochs=o["epochs"],
            rng=rng,
            validation=source.validation,
            augment=redrawing(self.augment),
            state=state,
            patience=o["patience"],
            progress=o["progress"],
            callback=o["callback"],
            # pairs that gain nothing on the validation rows leave the product as it is
            restore_best="start" if refine else True,
        )

    def _optimizer(self, o):
        if o["optimizer"] is not None:
            return o["optimizer"]
        rate = o["learning_rate"]
        if isinstance(rate, (int, float)):
            rate = optim.cosine(rate, warmup=1, per="epoch")
        opt = optim.adamw(rate, weight_decay=o["weight_decay"])
        if o["clip"]:
            opt = optim.clip(opt, o["clip"])
        return optim.average(opt, o["average"]) if o["average"] else opt

    def _make_head(self, groups, n_theta, n_features):
        if callable(self.head):
            head = self.head(groups, n_theta, n_features)
            if not isinstance(head, Layer) or not hasattr(head, "groups"):
                raise TypeError(
                    f"NRE: head gave a {type(head).__name__}; it must return a layer"
                    " with `groups`, of pairs of parameters and features"
                )
            return head
        if self.head == "residual":
            return ResidualHead(groups, n_theta, n_features)
        if self.head is None:
            narrow = {"rank": 16, "width": 64, "linear_start": False}
            how = {} if groups == 1 else narrow
            product = ProductHead(groups, n_theta, n_features, **how)
            if not self.refine:
                return product
            width = self.refine["width"] or (64 if groups == 1 else 16)
            return RefinedHead(product, width)
        raise ValueError(
            f"NRE: head={self.head!r}; choose None, 'residual' or a function"
            " (groups, n_theta, n_features) -> Head"
        )

    def _features(self, raw):
        """Length of the features, found on one raw row."""
        embedding = self.embedding or Flatten()
        params, state = embedding.init(0), embedding.init_state()
        out = embedding.apply(params, self._standardise(raw), state=state)[0]
        return int(np.prod(out.shape[1:]))

    def _standardise(self, x):
        if isinstance(self.standardiser, dict):
            return {k: self.standardiser[k](x[k]) for k in self.standardiser}
        return self.standardiser(x)

    def _report_failures(self, source):
        self.validity = None
        if not self.n_failed:
            return
        share = self.n_failed / self.n_rows
        if self.failures == "outcome":
            meaning = (
                "they count as outcomes: posteriors are those given that the simulation"
                " is valid, and a classifier of validity is trained on all rows"
            )
            self.validity = self._validity(source)
        else:
            meaning = (
                "they count as accidents: the posterior is that of a simulator without"
                " failures, if failing does not depend on x given θ; choose"
                " failures='outcome' if real data can fail too"
            )
        warnings.warn(
            f"{self.n_failed} of {self.n_rows} simulations failed ({share:.2%});"
            f" {meaning}",
            stacklevel=3,
        )

    def _validity(self, source):
        """Classifier of validity, of all rows that are there."""
        plain = Coordinates(self.prior, self.marginals, self.inputs)
        return Validity(plain).fit(source.theta[source.done], source.ok[source.done])

    # --- files ----------------------------------------------------------------------
    def save(self, path):
        """Write the trained estimator to one HDF5 file.

        Parameters
        ----------
        path : path
            Weights, running statistics, standardisation, prior and options; of an
            `embedding` or `head` of one's own only the weights, and of distributions
            of one's own in the prior only the names.
        """
        self._trained()
        save(self, path)

    @classmethod
    def load(cls, path, embedding=None, head=None, prior=None):
        """The estimator that `save` wrote.

        Parameters
        ----------
        path : path
        embedding : Layer, optional
            The one that it was trained with, if there was one.
        head : callable, optional
            Likewise, if it was a function.
        prior : Prior, optional
            That it was trained with: needed if it has distributions of one's own, which
            a file cannot hold. It must agree with what the file says.

        Returns
        -------
        NRE

        Raises
        ------
        ValueError
            If the file is foreign or damaged, embedding, head or prior are missing, or
            the prior is another.
        """
        return load(cls, path, embedding, head, prior)

    # --- use ------------------------------------------------------------------------
    def _trained(self):
        if not self._blocks:
            raise ValueError("this NRE is not trained; call .fit(theta, x) first")

    def log_ratio(self, theta, x):
        """``ln p(x|θ)/p(x)`` of pairs.

        Parameters
        ----------
        theta : (..., d) array
        x : array or dict of arrays
            The axes of one simulation after leading ones, which are broadcast against
            those of theta; one x for many θ is the cheapest.

        Returns
        -------
        (...,) array for a joint estimator, else (..., marginals)
        """
        self._trained()
        theta = np.asarray(theta, dtype=np.float64)
        if theta.shape[-1:] != (self.prior.d,):
            raise ValueError(
                f"theta has shape {theta.shape}; expected (..., {self.prior.d}), one"
                f" column for each of {', '.join(self.prior.names)}"
            )
        lead, one = theta.shape[:-1], leading(x, self.x_shape)
        try:
            shape = np.broadcast_shapes(lead, one)
        except ValueError:
            raise ValueError(
                f"leading axes {lead} of theta and {one} of x do not fit; give one x,"
                " as many as theta, or axes of length 1"
            ) from None
        n = int(np.prod(one))
        if n == 1:
            flat = theta.reshape(-1, self.prior.d)
            x = reshaped(x, self.x_shape, (1,))
            h = self._of_scores(self.coordinates.scores(flat), self._parts(x))
            return self._shaped(
                np.broadcast_to(h.reshape(*lead, -1), (*shape, h.shape[1]))
            )
        theta = np.broadcast_to(theta, (*shape, self.prior.d))
        if int(np.prod(shape)) > 4 * n:
            # few x, many θ: by x
            x = broadcast(x, self.x_shape, one)
            index = np.broadcast_to(np.arange(n).reshape(one), shape).reshape(-1)
            flat = theta.reshape(-1, self.prior.d)
            out = np.empty((len(flat), len(self.marginals)))
            for i in range(n):
                mine = np.flatnonzero(index == i)
                part = self._parts(row(x, i))
                z = self.coordinates.scores(flat[mine])
                out[mine] = self._of_scores(z, part)
            return self._shaped(out.reshape(*shape, -1))
        x = broadcast(x, self.x_shape, shape)
        flat = theta.reshape(-1, self.prior.d)
        columns = self.coordinates(flat)
        out = [
            _mean(network.rows(*member, columns, x) for member in members)
            for network, members in self._blocks
        ]
        h = np.concatenate(out, axis=1) + self._log_validity(flat)
        return self._shaped(h.reshape(*shape, -1))

    def member_log_ratios(self, theta, x):
        """Log ratios of each network by itself, for one observation.

        Parameters
        ----------
        theta : (n, d) array
        x : one observation

        Returns
        -------
        (members, n, marginals) array
        """
        self._trained()
        z = self.coordinates.scores(np.asarray(theta, dtype=np.float64))
        parts = self._parts(reshaped(x, self.x_shape, (1,)))
        return np.stack(
            [
                self._of_scores(z, [[p[k]] for p in parts], slice(k, k + 1))
                for k in range(self.members)
            ]
        )

    def posterior(self, x):
        """The posterior of one observation.

        Parameters
        ----------
        x : array of the shape of one simulation, or dict of arrays

        Returns
        -------
        Posterior

        Warns
        -----
        UnfamiliarData
            If x is unlike the simulations of the training (`misspecification_test`), as
            they are or as the embedding sees them: the posterior is an extrapolation.
        """
        self._trained()
        x = reshaped(x, self.x_shape, (1,))
        for leaf in x.values() if isinstance(x, dict) else [x]:
            if not np.isfinite(leaf).all():
                raise ValueError("posterior: the observation is not finite")
        if self.familiar is not None:
            self.familiar.warn(x)
        return self._posterior(x, self.tilts)

    def _posterior(self, x, tilts=None):
        parts = self._parts(x)
        return Posterior(
            self.coordinates,
            lambda z: self._of_scores(z, parts),
            normalised=self.loss != "nre-b",
            x=x,
            tilts=tilts,
        )

    def _parts(self, x):
        return [
            [network.part(*member, x) for member in members]
            for network, members in self._blocks
        ]

    def _of_scores(self, z, parts, which=slice(None)):
        """h (n, marginals) at normal scores (n, d) for the parts of one observation."""
        columns = self.coordinates.of_scores(z)
        out = [
            _mean(
                network.grid(*member, columns, part)
                for member, part in zip(members[which], mine, strict=True)
            )
            for (network, members), mine in zip(self._blocks, parts, strict=True)
        ]
        h = out[0] if len(out) == 1 else np.concatenate(out, axis=1)
        if self.validity is not None:
            h = h + self.validity.log_scores(z)
        return h

    def _log_validity(self, theta):
        if self.validity is None:
            return 0.0
        return self.validity.log_scores(self.coordinates.scores(theta))

    def _shaped(self, h):
        return h[..., 0] if self.coordinates.joint else h


def _entropy(rng):
    if isinstance(rng, np.random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0])
    if isinstance(rng, np.random.Generator):
        return int(generator(rng).integers(2**63 - 1))
    return int(rng)


def _check_training(training, who="NRE"):
    """Options that are used before `gradiverse.train.fit` looks at them."""
    for key, least in (("batch_size", 2), ("width", 1)):
        value = training.get(key)
        if value is not None and not (_is_whole(value) and value >= least):
            raise ValueError(f"{who}: {key}={value!r}; give None or an int >= {least}")
    share = training.get("validation", 0)
    if not (_is_whole(share) or isinstance(share, (float, np.floating))):
        raise ValueError(
            f"{who}: validation={share!r}; give a share of the rows, or their number"
        )
    rng = training.get("rng", 0)
    known = (np.random.SeedSequence, np.random.Generator)
    if not (_is_whole(rng) or isinstance(rng, known)):
        raise TypeError(
            f"{who}: rng={rng!r}; give an int, a SeedSequence or a Generator, so that"
            " the training can be repeated"
        )


def _is_whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_rows(x):
    """Raises where x is no array of numbers with rows, or dict of such."""
    if isinstance(x, dict) and not x:
        raise ValueError("NRE.fit: x is an empty dict; give the simulations")
    for leaf in x.values() if isinstance(x, dict) else [x]:
        leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        if leaf.dtype.kind not in "biuf" or not leaf.shape:
            raise TypeError(
                f"NRE.fit: x holds {leaf.dtype} of shape {leaf.shape}; give numbers,"
                " one row for each of theta"
            )


def _refinement(refine, head):
    """Options of the second stage; None without one."""
    if refine is None or refine is False:
        return None
    if refine is not True and not isinstance(refine, dict):
        raise TypeError(
            f"NRE: refine={refine!r}; give True, False or a dict of its options"
        )
    if head is not None:
        raise ValueError("NRE: refine is for the default head; give head=None")
    given = {} if refine is True else dict(refine)
    if set(given) - set(_REFINE):
        raise TypeError(
            f"NRE: refine has no option {', '.join(sorted(set(given) - set(_REFINE)))};"
            f" there are {', '.join(_REFINE)}"
        )
    _check_training({**_REFINE, **given}, "NRE: refine")
    return {**_REFINE, **given}


def _mean(values):
    values = list(values)
    return values[0] if len(values) == 1 else np.mean(values, axis=0)

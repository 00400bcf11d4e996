/* Checks of a light cone, and the walk over the lattice rows of one replica. */
#include "sim/lens/cone_pass.h"

#include <math.h>

#include "base/cpu.h"

/* --- checks ------------------------------------------------------------------------- */

static const char *const path_names[] = { "rate", "centre", "lo", "hi", "h" };

static double largest_reach(const gv_cone *c)
{
    double far = 0;
    for (int64_t s = 0; s < c->n_source; s++) far = fmax(far, c->reach[s]);
    return far;
}

/* The field must not see more than one box side, up to rounding. */
static gv_status check_field(const gv_cone *c)
{
    double end = fmin(c->hi, largest_reach(c));
    if (!(end > c->lo) || c->hi == c->lo) return GV_OK;
    for (int a = 0; a < 2; a++)
        if (c->field[a] * end > c->grid.box[a] * (1 + 1e-9))
            return gv_fail(
                GV_ERR_VALUE,
                "map outside the box: a field of %.6g rad is %.6g Mpc/h wide "
                "at %.6g Mpc/h, the box only %.6g Mpc/h; take a narrower "
                "field, nearer sources or a larger box",
                c->field[a], c->field[a] * end, end, c->grid.box[a]);
    return GV_OK;
}

gv_status gv_cone_check(const gv_cone *c)
{
    const double path[5] = { c->rate, c->centre, c->lo, c->hi, c->h };
    for (int k = 0; k < 5; k++)
        if (!isfinite(path[k]))
            return gv_fail(GV_ERR_VALUE,
                           "light cone: path[%d] (%s) is %g; a slice needs finite "
                           "distances and factors",
                           k, path_names[k], path[k]);
    if (!(c->h > 0))
        return gv_fail(GV_ERR_VALUE,
                       "light cone: the tables' spacing h = %g Mpc/h is not positive",
                       c->h);
    if (c->hi < c->lo)
        return gv_fail(GV_ERR_VALUE,
                       "light cone: the slice [%.9g, %.9g) Mpc/h ends before it begins",
                       c->lo, c->hi);
    for (int k = 0; k < 2; k++)
        if (!(c->unit[k] > 0) || !isfinite(c->unit[k]))
            return gv_fail(GV_ERR_VALUE,
                           "light cone: unit[%d] = %g; quanta are positive", k,
                           c->unit[k]);
    for (int64_t s = 0; s < c->n_source; s++)
        if (isnan(c->reach[s]))
            return gv_fail(GV_ERR_VALUE, "light cone: reach[%lld] is not a number",
                           (long long)s);
    double end = c->h * (double)(c->n_time - 1);
    if (c->hi > c->lo && c->hi > 0 && c->hi > end)
        return gv_fail(GV_ERR_VALUE,
                       "light cone: the slice ends at %.9g Mpc/h but the time table at "
                       "%.9g (%lld nodes %g apart); make the tables longer",
                       c->hi, end, (long long)c->n_time, c->h);
    if ((c->hi - c->lo) / c->grid.box[2] > 0x1p20)
        return gv_fail(
            GV_ERR_VALUE,
            "light cone: the slice [%g, %g) Mpc/h spans more than 2^20 boxes "
            "of %g",
            c->lo, c->hi, c->grid.box[2]);
    return check_field(c);
}

gv_status gv_cone_too_far(const gv_cone *c, double distance)
{
    return gv_fail(
        GV_ERR_VALUE,
        "light cone: a particle is seen at %.9g Mpc/h, nearer than a source, "
        "but the lens tables end at %.9g (%lld nodes %g apart); make them "
        "longer",
        distance, c->h * (double)(c->n_time - 1), (long long)c->n_time, c->h);
}

/* --- which planes ------------------------------------------------------------------- */

void gv_cone_replicas(const gv_cone *c, int64_t *from, int64_t *to)
{
    double lo = fmax(c->lo, 0), side = c->grid.box[2];
    *from = *to = 0;
    if (!(c->hi > lo)) return;
    *from = (int64_t)floor(lo / side);
    *to = (int64_t)ceil(c->hi / side);
    if (*from > 0 && (double)*from * side > lo) --*from; /* the quotient was rounded */
    if ((double)*to * side < c->hi) ++*to;
}

int64_t gv_cone_pass_room(const int64_t lattice[3])
{
    int64_t most = 0;
    for (int a = 0; a < 3; a++) most = lattice[a] > most ? lattice[a] : most;
    return 4 * most;
}

/* Replica coordinates in [0, L) of the lattice along axis a. */
static void images(const gv_cone *c, const gv_replica *r, int a, double *y)
{
    int e = r->perm[a];
    int64_t n = c->grid.lattice[e];
    double side = c->grid.box[e], cell = side / (double)c->grid.mesh[e];
    for (int64_t i = 0; i < n; i++) {
        double q = (double)i * side / (double)n + 0.5 * cell;
        double v = fmod(r->sign[a] * q + r->shift[a], side);
        if (v < 0) v += side;
        y[i] = v < side ? v : 0;
    }
}

static void find_planes(gv_cone_pass *s, const gv_cone *c, int64_t j)
{
    int64_t n = c->grid.lattice[s->los];
    double *d = s->at[2], base = (double)j * c->grid.box[2], w[4];
    double last = nextafter((double)(j + 1) * c->grid.box[2], 0);
    bool before = false;
    for (int64_t i = 0; i < n; i++) {
        d[i] = fmin(base + d[i], last);
        bool in = c->lo <= d[i] && d[i] < c->hi;
        s->factor[i] = 0;
        if (in) {
            int32_t k = gv_cone_weights(d[i] / c->h, c->n_time, w);
            s->factor[i] = c->rate * (gv_cone_dot(w, c->time + k) - c->centre);
            if (!before) s->from[s->runs++] = i;
            s->to[s->runs - 1] = i + 1;
            s->planes++;
        }
        before = in;
    }
}

static const gv_cone_kernels *kernels_of(const gv_cone *c)
{
    bool wide = c->state == GV_Q64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_cone_avx512[wide];
    case GV_SIMD_AVX2: return &gv_cone_avx2[wide];
    default: return &gv_cone_base[wide];
    }
}

static void set_block(gv_cone_pass *s, const gv_cone *c)
{
    gv_cone_block *b = &s->block;
    const gv_replica *r = &s->replica;
    const int64_t pixels[2] = { c->cols, c->rows };
    for (int a = 0; a < 3; a++) {
        int e = r->perm[a];
        b->of_x[a] =
            r->sign[a] * c->unit[0] * (c->grid.box[e] / (double)c->grid.mesh[e]);
        b->of_p[a] = r->sign[a] * c->unit[1];
        b->of_extra[a] = r->sign[a];
        b->extra[a] = NULL;
    }
    for (int a = 0; a < 2; a++) {
        b->length[a] = c->grid.box[a];
        b->inv_length[a] = 1 / c->grid.box[a];
        b->scale[a] = (double)pixels[a] / c->field[a];
        b->count[a] = (double)pixels[a];
        b->middle[a] = 0.5 * ((double)pixels[a] - 1);
    }
    b->far = largest_reach(c);
    b->first = s->inner == 1 ? 0 : 1;
}

void gv_cone_pass_set(gv_cone_pass *s, const gv_cone *c, int64_t j, double *room)
{
    const int64_t *lattice = c->grid.lattice;
    int64_t most = gv_cone_pass_room(lattice) / 4;
    *s = (gv_cone_pass){ .cone = c, .kernels = kernels_of(c) };
    s->replica = gv_replica_make(c->grid.box, lattice, c->seed, j);
    for (int a = 0; a < 3; a++) {
        s->at[a] = room + a * most;
        images(c, &s->replica, a, s->at[a]);
        if (s->replica.perm[a] == 2) s->inner = a;
    }
    s->factor = room + 3 * most;
    s->los = s->replica.perm[2];
    for (int a = 0; a < 2; a++)
        for (int64_t i = 0; i < lattice[s->replica.perm[a]]; i++)
            s->at[a][i] -= 0.5 * c->grid.box[a];
    find_planes(s, c, j);
    set_block(s, c);
    int64_t across = s->los == 0 ? lattice[1] : lattice[0];
    s->rows = s->los == 2 ? lattice[0] * lattice[1] : s->planes * across;
    if (s->planes == 0) s->rows = 0;
}

/* --- rows --------------------------------------------------------------------------- */

/* Lattice index of plane k of those in the slice. */
static int64_t plane_of(const gv_cone_pass *s, int64_t k)
{
    int run = 0;
    while (k >= s->to[run] - s->from[run]) {
        k -= s->to[run] - s->from[run];
        run++;
    }
    return s->from[run] + k;
}

/* Indices along the first two axes of the box of row r. The line of sight runs faster
 * than the transverse axis: rows that follow each other fall on one part of the map. */
static void row_index(const gv_cone_pass *s, int64_t r, int64_t index[2])
{
    if (s->los == 2) {
        int64_t n = s->cone->grid.lattice[1];
        index[0] = r / n;
        index[1] = r % n;
        return;
    }
    index[s->los] = plane_of(s, r % s->planes);
    index[1 - s->los] = r / s->planes;
}

typedef struct walker {
    const gv_cone_pass *pass;
    gv_cone_visit visit;
    void *ctx;
    gv_cone_block block;
    gv_cone_hits hits;
    _Alignas(64) double fixed[3][GV_CONE_BLOCK]; /* of the axes across the row */
    _Alignas(64) double factor[GV_CONE_BLOCK];
} walker;

static const char *item(const void *base, size_t size, int64_t i)
{
    return base ? (const char *)base + (size_t)i * size : NULL;
}

/* Particles [from, to) of the row that starts at particle `row`. */
static void walk_run(walker *w, int64_t row, int64_t from, int64_t to, int64_t plane)
{
    const gv_cone_pass *s = w->pass;
    const gv_cone *c = s->cone;
    int64_t n = gv_cone_particles(c);
    size_t size = gv_cone_item(c);
    gv_cone_block *b = &w->block;
    for (int64_t at = from; at < to; at += GV_CONE_BLOCK) {
        int m = (int)(to - at < GV_CONE_BLOCK ? to - at : GV_CONE_BLOCK);
        for (int a = 0; a < 3; a++) {
            int64_t start = s->replica.perm[a] * n + row + at;
            b->x[a] = item(c->x, size, start);
            b->p[a] = item(c->p, size, start);
            b->extra[a] = item(c->extra, size, start);
        }
        b->at[s->inner] = s->at[s->inner] + at;
        b->factor = s->los == 2 ? s->factor + at : w->factor;
        s->kernels->project[c->extra != NULL](b, m, &w->hits);
        if (w->hits.n == 0) continue;
        gv_cone_place place = { b, row + at, s->los == 2 ? at : plane, s->los == 2 };
        w->visit(w->ctx, &place, &w->hits);
    }
}

void gv_cone_pass_walk(const gv_cone_pass *s, int64_t from, int64_t to,
                       gv_cone_visit visit, void *ctx)
{
    const int64_t *lattice = s->cone->grid.lattice;
    walker w;
    w.pass = s;
    w.visit = visit;
    w.ctx = ctx;
    w.block = s->block;
    int fill = (int)(lattice[2] < GV_CONE_BLOCK ? lattice[2] : GV_CONE_BLOCK);
    for (int64_t r = from; r < to; r++) {
        int64_t index[2];
        row_index(s, r, index);
        for (int a = 0; a < 3; a++) {
            if (a == s->inner) continue;
            double value = s->at[a][index[s->replica.perm[a]]];
            for (int i = 0; i < fill; i++) w.fixed[a][i] = value;
            w.block.at[a] = w.fixed[a];
        }
        int64_t row = (index[0] * lattice[1] + index[1]) * lattice[2];
        if (s->los == 2) {
            for (int k = 0; k < s->runs; k++)
                walk_run(&w, row, s->from[k], s->to[k], 0);
            continue;
        }
        int64_t plane = index[s->los];
        for (int i = 0; i < fill; i++) w.factor[i] = s->factor[plane];
        walk_run(&w, row, 0, lattice[2], plane);
    }
}

/* One pass over one replica: which lattice planes lie in the slice, which particles of
 * them fall on the map. Shared by painting and its derivatives; not for other folders.
 *
 * Lattice rows run along the last axis of the box, contiguous in memory, whatever axis
 * of the replica that is. A row is projected in blocks of at most GV_CONE_BLOCK
 * particles: first the line of sight and the transverse axis across the row, which
 * decides most rows outside the field with two thirds of the reading, then the rest. */
#ifndef GV_SIM_CONE_PASS_H
#define GV_SIM_CONE_PASS_H

#include "sim/lens/cone.h"
#include "sim/lens/replica.h"

enum { GV_CONE_BLOCK = 128, GV_CONE_RUNS = 4 };

/* A block of a row. Three axes in the replica's order: pointers to state at its first
 * particle, what turns quanta into Mpc/h along the axis (with its sign), and where the
 * lattice images are: y_a - L_a/2 wrapped for a = 0, 1 and d_q for a = 2. */
typedef struct gv_cone_block {
    const void *x[3], *p[3], *extra[3];
    double of_x[3], of_p[3], of_extra[3];
    const double *at[3];
    const double *factor;                 /* F of (1) */
    double length[2], inv_length[2];      /* transverse sides */
    double scale[2], middle[2], count[2]; /* pixels per radian, (N-1)/2, N */
    double far;                           /* largest reach */
    int first;                            /* transverse axis to test first */
} gv_cone_block;

/* The particles of a block that fall on the map: index[0..n-1] into the block. */
typedef struct gv_cone_hits {
    int n;
    int index[GV_CONE_BLOCK];
    _Alignas(64) double pixel[2][GV_CONE_BLOCK]; /* n_a */
    _Alignas(64) double distance[GV_CONE_BLOCK];
} gv_cone_hits;

/* Fill hits for m particles; distance[] and pixel[] are set at least where hit. */
typedef void (*gv_cone_project)(const gv_cone_block *block, int m, gv_cone_hits *hits);

/* A record of a particle on the map: n_1, n_0, d, and for tangents theirs. */
enum { GV_CONE_FLAT = 3, GV_CONE_TANGENT = 6, GV_CONE_LANES = 8, GV_CONE_QUEUE = 256 };

/* Particles on the map that wait for their cotangents, rounded up to whole lanes with
 * zeros behind the last. */
typedef struct gv_cone_queue {
    int n;
    int64_t particle[GV_CONE_QUEUE], plane[GV_CONE_QUEUE];
    _Alignas(64) double pixel[2][GV_CONE_QUEUE];
    _Alignas(64) double distance[GV_CONE_QUEUE], factor[GV_CONE_QUEUE];
} gv_cone_queue;

/* Where cotangents go. g_x, g_p, p by axis of the replica; `turn` is its sign and of_p
 * momentum quanta in Mpc/h, with the sign. */
typedef struct gv_cone_target {
    void *g_x[3], *g_p[3];
    const void *p[3];
    double turn[3], of_p[3], scale[2], middle[2];
    double *factor, *lens; /* g_F by plane; g of the lens tables */
    double farthest;       /* distance so far */
} gv_cone_target;

/* For one kind of state and one instruction set. Records have GV_CONE_LANES more behind
 * the last that may be read. */
typedef struct gv_cone_kernels {
    gv_cone_project project[2]; /* without and with extra */
    void (*paint)(const gv_cone *cone, const double *record, int64_t n, void *map);
    void (*push)(const gv_cone *cone, const double *d_lens, const double *record,
                 int64_t n, void *map);
    void (*pull)(const gv_cone *cone, const void *g_map, const gv_cone_queue *queue,
                 gv_cone_target *target);
} gv_cone_kernels;
typedef const gv_cone_kernels gv_cone_table[2]; /* q32, q64 */
extern gv_cone_table gv_cone_base, gv_cone_avx2, gv_cone_avx512;

typedef struct gv_cone_pass {
    const gv_cone *cone;
    const gv_cone_kernels *kernels;
    gv_replica replica;
    gv_cone_block block; /* what all blocks share */
    double *at[3];       /* at every lattice index, by replica axis */
    double *factor;      /* F at every lattice index of the line of sight */
    int los;             /* axis of the box along the line of sight */
    int inner;           /* axis of the replica along a row */
    int runs;            /* maximal runs of lattice planes in the slice */
    int64_t from[GV_CONE_RUNS], to[GV_CONE_RUNS];
    int64_t planes; /* in the slice */
    int64_t rows;   /* to visit */
} gv_cone_pass;

/* What a visitor is told about a block with hits: element i of it is particle
 * start + i, in lattice plane plane + step i across the line of sight. */
typedef struct gv_cone_place {
    const gv_cone_block *block;
    int64_t start, plane;
    int step;
} gv_cone_place;
typedef void (*gv_cone_visit)(void *ctx, const gv_cone_place *place,
                              const gv_cone_hits *hits);

/* Checks what can only be checked when the values are known. */
gv_status gv_cone_check(const gv_cone *cone) GV_MUST;
/* Replicas [*from, *to) that the slice meets. */
void gv_cone_replicas(const gv_cone *cone, int64_t *from, int64_t *to);
/* Room for the tables of a pass, in doubles. */
int64_t gv_cone_pass_room(const int64_t lattice[3]);
/* Set the pass for replica j; planes is 0 when none lies in the slice. */
void gv_cone_pass_set(gv_cone_pass *pass, const gv_cone *cone, int64_t j, double *room);
/* Visit rows [from, to) of 0..rows-1, blocks in a fixed order. */
void gv_cone_pass_walk(const gv_cone_pass *pass, int64_t from, int64_t to,
                       gv_cone_visit visit, void *ctx);
/* A particle farther than the tables reach: the error for it. */
gv_status gv_cone_too_far(const gv_cone *cone, double distance) GV_MUST;

/* Particles of the lattice; bytes of one number of the state or of its real type. */
static inline int64_t gv_cone_particles(const gv_cone *c)
{
    return c->grid.lattice[0] * c->grid.lattice[1] * c->grid.lattice[2];
}
static inline size_t gv_cone_item(const gv_cone *c)
{
    return c->state == GV_Q64 ? 8 : 4;
}

/* --- four-point interpolation ------------------------------------------------------ */

/* First of the four of n nodes for t = chi/h. */
static inline int32_t gv_cone_node(double t, int32_t n)
{
    int32_t first = (int32_t)(t < n ? t : n) - 1;
    first = first < n - 4 ? first : n - 4;
    return first > 0 ? first : 0;
}

/* Lagrange weights of nodes 0..3 at u, and their derivatives. */
static inline void gv_cone_lagrange(double u, double w[4])
{
    double v = u - 1, p = u - 2, r = u - 3;
    w[0] = -v * p * r * (1.0 / 6);
    w[1] = u * p * r * 0.5;
    w[2] = -u * v * r * 0.5;
    w[3] = u * v * p * (1.0 / 6);
}
static inline void gv_cone_lagrange_slope(double u, double w[4])
{
    double v = u - 1, p = u - 2, r = u - 3;
    w[0] = -(p * r + v * r + v * p) * (1.0 / 6);
    w[1] = (p * r + u * r + u * p) * 0.5;
    w[2] = -(v * r + u * r + u * v) * 0.5;
    w[3] = (v * p + u * p + u * v) * (1.0 / 6);
}

/* First node and weights at t = chi/h. */
static inline int32_t gv_cone_weights(double t, int64_t n, double w[4])
{
    int32_t first = gv_cone_node(t, (int32_t)n);
    gv_cone_lagrange(t - (double)first, w);
    return first;
}

static inline double gv_cone_dot(const double w[4], const double *table)
{
    return w[0] * table[0] + w[1] * table[1] + w[2] * table[2] + w[3] * table[3];
}

/* Room in scratch: offsets are handed out with and without a base (to add them up). */
typedef struct gv_cone_room {
    char *base;
    size_t used;
} gv_cone_room;

static inline void *gv_cone_carve(gv_cone_room *room, int64_t items, size_t size)
{
    void *r = room->base ? room->base + room->used : NULL;
    room->used += ((size_t)items * size + 63) / 64 * 64;
    return r;
}

#endif

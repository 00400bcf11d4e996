/* Program.repeat: many steps of a planned loop with the lock released.
 *
 * The carries are arrays that are overwritten; xs and ys have one more leading axis, of
 * length n, of which step t reads and writes entry t. */
#include "base/alloc.h"
#include "pymod/pymod.h"

struct ends {
    PyObject **held; /* references to what the steps read */
    void **in, **y;
    int n_held;
};

static void close_ends(struct ends *e)
{
    for (int i = 0; i < e->n_held; i++) Py_DECREF(e->held[i]);
    gv_free(e->held);
    gv_free(e->in);
    gv_free(e->y);
}

/* Arrays of a list that must be usable as they are; the first is input or output `first`. */
static bool take_room(PyObject *list, const gv_type *type, int64_t n, void **to,
                      const char *what)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        char buf[160];
        to[i] = gv_py_array_room(PyList_GET_ITEM(list, i), &type[i], n);
        if (to[i]) continue;
        PyErr_Format(PyExc_TypeError, "repeat: %s %zd is not a writable array %s", what,
                     i, gv_type_format(&type[i], buf, sizeof buf));
        return false;
    }
    return true;
}

static bool take_xs(struct ends *e, PyObject *list, const gv_type *type, int64_t n,
                    void **to)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        gv_type t = type[i];
        for (int k = t.shape.ndim++; k > 0; k--) t.shape.dim[k] = t.shape.dim[k - 1];
        t.shape.dim[0] = n;
        PyObject *a = gv_py_array_in(PyList_GET_ITEM(list, i), &t, "repeat");
        if (!a) return false;
        e->held[e->n_held++] = a;
        to[i] = gv_py_array_data(a);
    }
    return true;
}

static bool take_fixed(struct ends *e, PyObject *list, const gv_type *type, void **to)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *a = gv_py_array_in(PyList_GET_ITEM(list, i), &type[i], "repeat");
        if (!a) return false;
        e->held[e->n_held++] = a;
        to[i] = gv_py_array_data(a);
    }
    return true;
}

PyObject *gv_py_repeat(PyObject *self, PyObject *args)
{
    gv_program *p = ((PyProgram *)self)->p;
    PyObject *carry, *xs, *fixed, *ys;
    long long n, start, at = 0;
    double seconds;
    if (!PyArg_ParseTuple(args, "O!O!O!O!LLd", &PyList_Type, &carry, &PyList_Type, &xs,
                          &PyList_Type, &fixed, &PyList_Type, &ys, &n, &start,
                          &seconds))
        return NULL;
    int nc = (int)PyList_GET_SIZE(carry), nx = (int)PyList_GET_SIZE(xs);
    int nf = (int)PyList_GET_SIZE(fixed), ny = (int)PyList_GET_SIZE(ys);
    if (!p->carry || nc != p->n_carry || nc + nx + nf != p->nin || nc + ny != p->nout ||
        n < 0 || start < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "repeat: the lists do not fit the program; it must be planned "
                        "with n_carry");
        return NULL;
    }
    struct ends e = { gv_alloc(((size_t)p->nin + 1) * sizeof(PyObject *)),
                      gv_alloc(((size_t)p->nin + 1) * sizeof(void *)),
                      gv_alloc(((size_t)ny + 1) * sizeof(void *)), 0 };
    PyObject *result = NULL;
    if (!e.held || !e.in || !e.y) {
        gv_py_raise(GV_ERR_MEMORY);
    } else if (take_room(carry, p->in_type, -1, e.in, "carry") &&
               take_xs(&e, xs, p->in_type + nc, n, e.in + nc) &&
               take_fixed(&e, fixed, p->in_type + nc + nx, e.in + nc + nx) &&
               take_room(ys, p->out_type + nc, n, e.y, "result")) {
        int64_t next = start;
        PyThreadState *state = PyEval_SaveThread();
        gv_status s = gv_program_repeat(p, nx, e.in, e.y, start, n, seconds, &next);
        PyEval_RestoreThread(state);
        at = next;
        result = s == GV_OK ? PyLong_FromLongLong(at) : gv_py_raise(s);
    }
    close_ends(&e);
    return result;
}

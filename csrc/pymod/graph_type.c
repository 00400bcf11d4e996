/* _core.Graph and _core.Func: building and transforming graphs. */
#include <string.h>

#include "base/alloc.h"
#include "pymod/pymod.h"

PyTypeObject *gv_py_func_type;

/* --- lists of values --------------------------------------------------------------- */
typedef struct {
    int n;
    gv_val *v;
} vals;

/* allow_none: -1 is accepted. */
static bool read_vals(const gv_graph *g, PyObject *list, vals *out, bool allow_none)
{
    PyObject *seq = PySequence_Fast(list, "a list of values is wanted");
    out->n = 0;
    out->v = NULL;
    if (!seq) return false;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(seq);
    out->v = gv_alloc(((size_t)n + 1) * sizeof *out->v);
    if (!out->v) gv_py_raise(GV_ERR_MEMORY);
    for (Py_ssize_t i = 0; out->v && i < n; i++) {
        long x = PyLong_AsLong(PySequence_Fast_GET_ITEM(seq, i));
        if (x == -1 && PyErr_Occurred()) break;
        if (x >= g->n_val || x < (allow_none ? -1 : 1)) {
            PyErr_Format(PyExc_ValueError, "value %ld is not in this graph", x);
            break;
        }
        out->v[i] = (gv_val)x;
        out->n++;
    }
    Py_DECREF(seq);
    if (out->v && out->n == n) return true;
    gv_free(out->v);
    out->v = NULL;
    return false;
}

static PyObject *list_of(const gv_val *v, int n)
{
    PyObject *list = PyList_New(n);
    for (int i = 0; list && i < n; i++) {
        PyObject *x = PyLong_FromLong(v[i]);
        if (!x)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, x);
    }
    return list;
}

static PyObject *flag_list(const bool *flag, int n)
{
    PyObject *list = PyList_New(n);
    for (int i = 0; list && i < n; i++)
        PyList_SET_ITEM(list, i, Py_NewRef(flag[i] ? Py_True : Py_False));
    return list;
}

static PyObject *fail_graph(gv_graph *g, gv_status s)
{
    gv_graph_recover(g);
    return gv_py_raise(s);
}

/* --- Graph --------------------------------------------------------------------------- */
static PyObject *graph_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    PyGraph *self = (PyGraph *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->g = gv_graph_new();
    if (!self->g) {
        Py_DECREF(self);
        return gv_py_raise(GV_ERR_MEMORY);
    }
    return (PyObject *)self;
}

static void graph_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    gv_graph_free(((PyGraph *)self)->g);
    gv_free(((PyGraph *)self)->known);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *graph_input(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    gv_graph *g = ((PyGraph *)self)->g;
    gv_type t;
    if (n != 2) return PyErr_Format(PyExc_TypeError, "input(dtype, shape)");
    if (!gv_py_type(args[0], args[1], &t)) return NULL;
    gv_val v = gv_graph_input(g, &t);
    return v == GV_NONE ? fail_graph(g, g->status) : PyLong_FromLong(v);
}

static PyObject *graph_const(PyObject *self, PyObject *array)
{
    gv_graph *g = ((PyGraph *)self)->g;
    gv_type t;
    PyObject *a = gv_py_array_any(array, &t);
    if (!a) return NULL;
    gv_val v = gv_emit_const(g, &t, gv_py_array_data(a));
    Py_DECREF(a);
    return v == GV_NONE ? fail_graph(g, g->status) : PyLong_FromLong(v);
}

static bool read_attrs(PyObject *tuple, int64_t *few, int most, int64_t **out, int *n)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "attrs must be a tuple of ints");
        return false;
    }
    *n = (int)PyTuple_GET_SIZE(tuple);
    *out = few;
    if (*n > most && !(*out = gv_alloc((size_t)*n * sizeof **out)))
        return gv_py_raise(GV_ERR_MEMORY), false;
    for (int i = 0; i < *n; i++) {
        (*out)[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
        if ((*out)[i] == -1 && PyErr_Occurred()) {
            if (*out != few) gv_free(*out);
            return false;
        }
    }
    return true;
}

/* op(name, ins, attrs=(), funcs=()) */
static PyObject *graph_op(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    gv_graph *g = ((PyGraph *)self)->g;
    if (n < 2 || n > 4 || !PyTuple_Check(args[1]))
        return PyErr_Format(PyExc_TypeError,
                            "op(name, ins: tuple, attrs=(), funcs=())");
    const char *name = PyUnicode_AsUTF8(args[0]);
    if (!name) return NULL;
    const gv_op *op = gv_op_find(name);
    if (!op) return PyErr_Format(PyExc_ValueError, "no operator is called %s", name);
    int nin = (int)PyTuple_GET_SIZE(args[1]), nattr = 0, nfunc = 0;
    gv_val few[8], *in = few;
    int64_t few_attr[32], *attr = few_attr;
    gv_func *func[4];
    if (nin > 8 && !(in = gv_alloc((size_t)nin * sizeof *in)))
        return gv_py_raise(GV_ERR_MEMORY);
    PyObject *result = NULL;
    for (int i = 0; i < nin; i++) {
        in[i] = (gv_val)PyLong_AsLong(PyTuple_GET_ITEM(args[1], i));
        if (in[i] <= 0) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_ValueError, "%s: input %d is not a value", name, i);
            goto done;
        }
    }
    if (n > 2 && !read_attrs(args[2], few_attr, 32, &attr, &nattr)) goto done;
    if (n > 3) {
        nfunc = PyTuple_Check(args[3]) ? (int)PyTuple_GET_SIZE(args[3]) : 99;
        if (nfunc > 4) {
            PyErr_SetString(PyExc_TypeError, "funcs must be a tuple of at most 4 Func");
            goto done;
        }
        for (int k = 0; k < nfunc; k++) {
            PyObject *f = PyTuple_GET_ITEM(args[3], k);
            if (!PyObject_TypeCheck(f, gv_py_func_type)) {
                PyErr_SetString(PyExc_TypeError, "funcs must be a tuple of Func");
                goto done;
            }
            func[k] = ((PyFunc *)f)->f;
        }
    }
    gv_val v = gv_emit_func(g, op, nin, in, nattr, attr, nfunc, func);
    result = v == GV_NONE ? fail_graph(g, g->status) : PyLong_FromLong(v);
done:
    if (in != few) gv_free(in);
    if (attr != few_attr) gv_free(attr);
    return result;
}

static bool read_val(const gv_graph *g, PyObject *object, gv_val *v)
{
    long x = PyLong_AsLong(object);
    if (x == -1 && PyErr_Occurred()) return false;
    if (x < 1 || x >= g->n_val) {
        PyErr_Format(PyExc_ValueError, "value %ld is not in this graph", x);
        return false;
    }
    *v = (gv_val)x;
    return true;
}

static PyObject *type_tuple(const gv_type *t)
{
    PyObject *shape = gv_py_shape(&t->shape);
    return shape ? Py_BuildValue("(sN)", gv_dtype_name(t->dtype), shape) : NULL;
}

static PyObject *graph_type(PyObject *self, PyObject *val)
{
    gv_graph *g = ((PyGraph *)self)->g;
    gv_val v;
    return read_val(g, val, &v) ? type_tuple(gv_graph_type(g, v)) : NULL;
}

static PyObject *graph_nout(PyObject *self, PyObject *val)
{
    gv_graph *g = ((PyGraph *)self)->g;
    gv_val v;
    return read_val(g, val, &v) ? PyLong_FromLong(gv_graph_node(g, v)->nout) : NULL;
}

static PyObject *graph_node(PyObject *self, PyObject *val)
{
    gv_graph *g = ((PyGraph *)self)->g;
    gv_val v;
    if (!read_val(g, val, &v)) return NULL;
    const gv_node *n = gv_graph_node(g, v);
    PyObject *in = list_of(n->in, n->nin);
    PyObject *attr = PyTuple_New(n->nattr);
    for (int i = 0; attr && i < n->nattr; i++)
        PyTuple_SET_ITEM(attr, i, PyLong_FromLongLong(n->attr[i]));
    if (!in || !attr) {
        Py_XDECREF(in), Py_XDECREF(attr);
        return NULL;
    }
    return Py_BuildValue("(sNNs)", n->op->name, in, attr, gv_graph_line(g, n));
}

static PyObject *graph_set_line(PyObject *self, PyObject *line)
{
    const char *s = line == Py_None ? NULL : PyUnicode_AsUTF8(line);
    if (!s && line != Py_None) return NULL;
    gv_status status = gv_graph_set_line(((PyGraph *)self)->g, s);
    if (status != GV_OK) return gv_py_raise(status);
    Py_RETURN_NONE;
}

static PyObject *graph_vjp(PyObject *self, PyObject *args)
{
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *a, *b, *c, *result = NULL;
    vals out = { 0 }, g_out = { 0 }, wrt = { 0 };
    if (!PyArg_ParseTuple(args, "OOO", &a, &b, &c)) return NULL;
    if (read_vals(g, a, &out, false) && read_vals(g, b, &g_out, true) &&
        read_vals(g, c, &wrt, false)) {
        gv_val *r = gv_alloc(((size_t)wrt.n + 1) * sizeof *r);
        if (out.n != g_out.n) {
            PyErr_SetString(PyExc_ValueError,
                            "vjp: one cotangent per output is wanted");
        } else if (!r) {
            gv_py_raise(GV_ERR_MEMORY);
        } else {
            gv_status s = gv_graph_vjp(g, out.n, out.v, g_out.v, wrt.n, wrt.v, r);
            result = s == GV_OK ? list_of(r, wrt.n) : fail_graph(g, s);
        }
        gv_free(r);
    }
    gv_free(out.v), gv_free(g_out.v), gv_free(wrt.v);
    return result;
}

static PyObject *graph_jvp(PyObject *self, PyObject *args)
{
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *a, *b, *c, *result = NULL;
    vals out = { 0 }, wrt = { 0 }, d = { 0 };
    if (!PyArg_ParseTuple(args, "OOO", &a, &b, &c)) return NULL;
    if (read_vals(g, a, &out, false) && read_vals(g, b, &wrt, false) &&
        read_vals(g, c, &d, true)) {
        gv_val *r = gv_alloc(((size_t)out.n + 1) * sizeof *r);
        if (wrt.n != d.n) {
            PyErr_SetString(PyExc_ValueError, "jvp: one tangent per value is wanted");
        } else if (!r) {
            gv_py_raise(GV_ERR_MEMORY);
        } else {
            gv_status s = gv_graph_jvp(g, out.n, out.v, wrt.n, wrt.v, d.v, r);
            result = s == GV_OK ? list_of(r, out.n) : fail_graph(g, s);
        }
        gv_free(r);
    }
    gv_free(out.v), gv_free(wrt.v), gv_free(d.v);
    return result;
}

static PyObject *graph_batch(PyObject *self, PyObject *args)
{
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *a, *b, *c, *result = NULL;
    long long n;
    vals out = { 0 }, in = { 0 }, with = { 0 };
    if (!PyArg_ParseTuple(args, "OOOL", &a, &b, &c, &n)) return NULL;
    if (read_vals(g, a, &out, false) && read_vals(g, b, &in, false) &&
        read_vals(g, c, &with, false)) {
        gv_val *r = gv_alloc(((size_t)out.n + 1) * sizeof *r);
        bool *flag = gv_alloc((size_t)out.n + 1);
        if (in.n != with.n || n < 0) {
            PyErr_SetString(PyExc_ValueError,
                            "batch: one batched value per placeholder");
        } else if (!r || !flag) {
            gv_py_raise(GV_ERR_MEMORY);
        } else {
            gv_status s =
                gv_graph_batch(g, out.n, out.v, in.n, in.v, with.v, n, r, flag);
            result = s == GV_OK
                ? Py_BuildValue("(NN)", list_of(r, out.n), flag_list(flag, out.n))
                : fail_graph(g, s);
        }
        gv_free(r), gv_free(flag);
    }
    gv_free(out.v), gv_free(in.v), gv_free(with.v);
    return result;
}

static PyObject *graph_substitute(PyObject *self, PyObject *args)
{
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *a, *b, *c, *result = NULL;
    vals out = { 0 }, in = { 0 }, with = { 0 };
    if (!PyArg_ParseTuple(args, "OOO", &a, &b, &c)) return NULL;
    if (read_vals(g, a, &out, false) && read_vals(g, b, &in, false) &&
        read_vals(g, c, &with, false)) {
        gv_val *r = gv_alloc(((size_t)out.n + 1) * sizeof *r);
        if (in.n != with.n) {
            PyErr_SetString(PyExc_ValueError,
                            "substitute: olds and news differ in number");
        } else if (!r) {
            gv_py_raise(GV_ERR_MEMORY);
        } else {
            gv_status s = gv_graph_substitute(g, out.n, out.v, in.n, in.v, with.v, r);
            result = s == GV_OK ? list_of(r, out.n) : fail_graph(g, s);
        }
        gv_free(r);
    }
    gv_free(out.v), gv_free(in.v), gv_free(with.v);
    return result;
}

static PyObject *graph_depends(PyObject *self, PyObject *args)
{
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *a, *b, *result = NULL;
    vals out = { 0 }, on = { 0 };
    if (!PyArg_ParseTuple(args, "OO", &a, &b)) return NULL;
    if (read_vals(g, a, &out, false) && read_vals(g, b, &on, false)) {
        bool *dep = gv_graph_depends(g, on.n, on.v, false);
        result = dep ? PyList_New(out.n) : gv_py_raise(GV_ERR_MEMORY);
        for (int i = 0; result && i < out.n; i++)
            PyList_SET_ITEM(result, i, Py_NewRef(dep[out.v[i]] ? Py_True : Py_False));
        gv_free(dep);
    }
    gv_free(out.v), gv_free(on.v);
    return result;
}

/* know(values): their arrays are at hand; frontier() and needed() stop there. */
static PyObject *graph_know(PyObject *self, PyObject *list)
{
    PyGraph *p = (PyGraph *)self;
    vals v = { 0 };
    if (!read_vals(p->g, list, &v, false)) return NULL;
    bool ok = true;
    if (p->cap_known < p->g->n_val) {
        int cap = p->g->cap_val + 1;
        bool *more = gv_alloc_zero((size_t)cap);
        ok = more != NULL;
        if (ok) {
            if (p->known) memcpy(more, p->known, (size_t)p->cap_known);
            gv_free(p->known);
            p->known = more;
            p->cap_known = cap;
        }
    }
    for (int i = 0; ok && i < v.n; i++) p->known[v.v[i]] = true;
    gv_free(v.v);
    if (!ok) return gv_py_raise(GV_ERR_MEMORY);
    Py_RETURN_NONE;
}

/* Values met on the way up from outs, known ones not passed: their list, and a flag for
 * each value of the graph. Cost: the part of the graph that is visited. */
static bool *sweep_up(const PyGraph *p, const vals *out, bool stop, gv_val **met,
                      int *n_met)
{
    const gv_graph *g = p->g;
    bool *seen = gv_alloc_zero((size_t)g->n_val + 1);
    gv_val *list = gv_alloc(((size_t)g->n_val + (size_t)out->n + 1) * sizeof *list);
    int n = 0;
    for (int i = 0; seen && list && i < out->n; i++) {
        if (!seen[out->v[i]]) list[n++] = out->v[i];
        seen[out->v[i]] = true;
    }
    for (int at = 0; seen && list && at < n; at++) {
        gv_val v = list[at];
        if (stop && v < p->cap_known && p->known[v]) continue;
        const gv_node *node = gv_graph_node(g, v);
        for (int i = 0; i < node->nin; i++) {
            if (seen[node->in[i]]) continue;
            seen[node->in[i]] = true;
            list[n++] = node->in[i];
        }
    }
    if (!seen || !list) {
        gv_free(seen), gv_free(list);
        gv_py_raise(GV_ERR_MEMORY);
        return NULL;
    }
    *met = list;
    *n_met = n;
    return seen;
}

/* needed(outs, values, stop=False): which values the outs depend on, or are; with stop,
 * without passing through known values. */
static PyObject *graph_needed(PyObject *self, PyObject *args)
{
    PyGraph *p = (PyGraph *)self;
    PyObject *a, *b, *result = NULL;
    int stop = 0, n;
    vals out = { 0 }, of = { 0 };
    if (!PyArg_ParseTuple(args, "OO|p", &a, &b, &stop)) return NULL;
    if (read_vals(p->g, a, &out, false) && read_vals(p->g, b, &of, false)) {
        gv_val *met = NULL;
        bool *seen = sweep_up(p, &out, stop, &met, &n);
        result = seen ? PyList_New(of.n) : NULL;
        for (int i = 0; result && i < of.n; i++)
            PyList_SET_ITEM(result, i, Py_NewRef(seen[of.v[i]] ? Py_True : Py_False));
        gv_free(seen), gv_free(met);
    }
    gv_free(out.v), gv_free(of.v);
    return result;
}

/* frontier(outs): the known values from which the outs can be computed. */
static PyObject *graph_frontier(PyObject *self, PyObject *outs)
{
    PyGraph *p = (PyGraph *)self;
    vals out = { 0 };
    if (!read_vals(p->g, outs, &out, false)) return NULL;
    gv_val *met = NULL;
    int n = 0, kept = 0;
    bool *seen = sweep_up(p, &out, true, &met, &n);
    for (int i = 0; seen && i < n; i++)
        if (met[i] < p->cap_known && p->known[met[i]]) met[kept++] = met[i];
    PyObject *result = seen ? list_of(met, kept) : NULL;
    gv_free(seen), gv_free(met), gv_free(out.v);
    return result;
}

/* --- functions and programs ----------------------------------------------------------- */
static PyObject *func_new(gv_func *f)
{
    PyFunc *self = PyObject_New(PyFunc, gv_py_func_type);
    if (!self) {
        gv_func_unref(f);
        return NULL;
    }
    self->f = f;
    return (PyObject *)self;
}

static PyObject *graph_func(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "inputs", "outs", "captured", NULL };
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *a, *b, *c = NULL, *result = NULL;
    vals in = { 0 }, out = { 0 }, given = { 0 };
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O", names, &a, &b, &c))
        return NULL;
    if (read_vals(g, a, &in, false) && read_vals(g, b, &out, false) &&
        (!c || c == Py_None || read_vals(g, c, &given, false))) {
        gv_func *f = NULL;
        gv_val *captured = NULL;
        int n = 0;
        gv_status s = gv_func_close(g, in.n, in.v, out.n, out.v, given.n, given.v, &f,
                                    &n, &captured);
        if (s == GV_OK)
            result = Py_BuildValue("(NN)", func_new(f), list_of(captured, n));
        else
            gv_py_raise(s);
        gv_free(captured);
    }
    gv_free(in.v), gv_free(out.v), gv_free(given.v);
    return result;
}

static PyObject *graph_inline(PyObject *self, PyObject *args)
{
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *func, *list, *result = NULL;
    vals in = { 0 };
    if (!PyArg_ParseTuple(args, "O!O", gv_py_func_type, &func, &list)) return NULL;
    gv_func *f = ((PyFunc *)func)->f;
    if (!read_vals(g, list, &in, false)) return NULL;
    gv_val *out = gv_alloc(((size_t)f->nout + 1) * sizeof *out);
    if (in.n != f->nin) {
        PyErr_Format(PyExc_ValueError, "%d values for a function of %d inputs", in.n,
                     f->nin);
    } else if (!out) {
        gv_py_raise(GV_ERR_MEMORY);
    } else {
        gv_status s = gv_func_inline(g, f, in.v, out);
        result = s == GV_OK ? list_of(out, f->nout) : fail_graph(g, s);
    }
    gv_free(out), gv_free(in.v);
    return result;
}

static PyObject *graph_program(PyObject *self, PyObject *args)
{
    gv_graph *g = ((PyGraph *)self)->g;
    PyObject *a, *b, *result = NULL;
    int n_carry = -1;
    vals in = { 0 }, out = { 0 };
    if (!PyArg_ParseTuple(args, "OO|i", &a, &b, &n_carry)) return NULL;
    if (read_vals(g, a, &in, false) && read_vals(g, b, &out, false)) {
        gv_program *p = NULL;
        unsigned options = gv_py_debug ? GV_PLAN_DEBUG : GV_PLAN_SLAB;
        gv_status s = n_carry < 0
            ? gv_program_get(g, in.n, in.v, out.n, out.v, options, &p)
            : gv_program_loop(g, in.n, in.v, out.n, out.v, n_carry, options, &p);
        result = s == GV_OK ? gv_py_program_new(p) : gv_py_raise(s);
    }
    gv_free(in.v), gv_free(out.v);
    return result;
}

static PyMethodDef graph_methods[] = {
    { "input", (PyCFunction)(void (*)(void))graph_input, METH_FASTCALL,
      "input(dtype, shape) -> value" },
    { "const", graph_const, METH_O, "const(array) -> value; the array is copied" },
    { "op", (PyCFunction)(void (*)(void))graph_op, METH_FASTCALL,
      "op(name, ins, attrs=(), funcs=()) -> first output" },
    { "type", graph_type, METH_O, "type(value) -> (dtype, shape)" },
    { "nout", graph_nout, METH_O, "nout(value) -> outputs of its node" },
    { "node", graph_node, METH_O, "node(value) -> (op, ins, attrs, line)" },
    { "set_line", graph_set_line, METH_O, "set_line(text or None)" },
    { "vjp", graph_vjp, METH_VARARGS,
      "vjp(outs, g_outs, wrt) -> cotangents (-1: zero)" },
    { "jvp", graph_jvp, METH_VARARGS, "jvp(outs, wrt, d_wrt) -> tangents (-1: zero)" },
    { "batch", graph_batch, METH_VARARGS,
      "batch(outs, placeholders, batched, n) -> (values, flags)" },
    { "substitute", graph_substitute, METH_VARARGS,
      "substitute(outs, olds, news) -> values" },
    { "depends", graph_depends, METH_VARARGS, "depends(outs, on) -> flags" },
    { "know", graph_know, METH_O, "know(values): their arrays are at hand" },
    { "needed", graph_needed, METH_VARARGS,
      "needed(outs, values, stop=False) -> flags: outs depend on it" },
    { "frontier", graph_frontier, METH_O,
      "frontier(outs) -> known values to start from" },
    { "func", (PyCFunction)(void (*)(void))graph_func, METH_VARARGS | METH_KEYWORDS,
      "func(inputs, outs, captured=None) -> (Func, captured)" },
    { "inline", graph_inline, METH_VARARGS, "inline(func, ins) -> values" },
    { "program", graph_program, METH_VARARGS,
      "program(inputs, outs, n_carry=-1) -> Program; n_carry >= 0: for repeat" },
    { NULL, NULL, 0, NULL },
};

static PyObject *get_size(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((PyGraph *)self)->g->n_node);
}

static PyGetSetDef graph_getset[] = {
    { "size", get_size, NULL, "number of nodes", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot graph_slots[] = {
    { Py_tp_new, graph_new },
    { Py_tp_dealloc, graph_dealloc },
    { Py_tp_methods, graph_methods },
    { Py_tp_getset, graph_getset },
    { Py_tp_doc, "A graph under construction; values are ints." },
    { 0, NULL },
};

static PyType_Spec graph_spec = {
    .name = "gradiverse._core.Graph",
    .basicsize = sizeof(PyGraph),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = graph_slots,
};

static void func_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    gv_func_unref(((PyFunc *)self)->f);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *func_types(PyObject *self, void *outputs)
{
    const gv_func *f = ((PyFunc *)self)->f;
    int n = outputs ? f->nout : f->nin;
    PyObject *list = PyList_New(n);
    for (int i = 0; list && i < n; i++) {
        PyObject *t =
            type_tuple(outputs ? gv_func_out_type(f, i) : gv_func_in_type(f, i));
        if (!t)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, t);
    }
    return list;
}

static PyObject *func_count(PyObject *self, void *outputs)
{
    const gv_func *f = ((PyFunc *)self)->f;
    return PyLong_FromLong(outputs ? f->nout : f->nin);
}

static char marker;
static PyGetSetDef func_getset[] = {
    { "n_in", func_count, NULL, "number of inputs", NULL },
    { "n_out", func_count, NULL, "number of outputs", &marker },
    { "in_types", func_types, NULL, "types of the inputs", NULL },
    { "out_types", func_types, NULL, "types of the outputs", &marker },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot func_slots[] = {
    { Py_tp_dealloc, func_dealloc },
    { Py_tp_getset, func_getset },
    { Py_tp_doc, "A closed function of values; made by Graph.func." },
    { 0, NULL },
};

static PyType_Spec func_spec = {
    .name = "gradiverse._core.Func",
    .basicsize = sizeof(PyFunc),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = func_slots,
};

int gv_py_graph_init(PyObject *module)
{
    gv_py_func_type = (PyTypeObject *)PyType_FromSpec(&func_spec);
    if (!gv_py_func_type ||
        PyModule_AddObjectRef(module, "Func", (PyObject *)gv_py_func_type) < 0)
        return -1;
    PyObject *type = PyType_FromSpec(&graph_spec);
    if (!type) return -1;
    int r = PyModule_AddObjectRef(module, "Graph", type);
    Py_DECREF(type);
    return r;
}

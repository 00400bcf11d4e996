/* Python callables as nodes: the registry behind the op `external`. */
#include "base/alloc.h"
#include "pymod/pymod.h"

extern gv_status (*gv_external_hook)(const gv_call *call);
extern bool (*gv_external_has_vjp)(int64_t id);

static PyObject *registry; /* id -> (callable, vjp or None) */
static int64_t last_id;

PyObject *gv_py_register_external(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *f, *vjp;
    if (!PyArg_ParseTuple(args, "OO", &f, &vjp)) return NULL;
    PyObject *pair = PyTuple_Pack(2, f, vjp), *id = PyLong_FromLongLong(last_id + 1);
    if (!pair || !id || PyDict_SetItem(registry, id, pair) < 0)
        Py_CLEAR(id);
    else
        last_id++;
    Py_XDECREF(pair);
    return id;
}

PyObject *gv_py_release_external(PyObject *self, PyObject *id)
{
    (void)self;
    return PyDict_DelItem(registry, id) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The pair of an id, a new reference. */
static PyObject *find(int64_t id)
{
    PyObject *key = PyLong_FromLongLong(id);
    PyObject *pair = key ? PyDict_GetItemWithError(registry, key) : NULL;
    Py_XDECREF(key);
    if (!pair && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "gv.external: the function is gone");
    return Py_XNewRef(pair);
}

static bool has_vjp(int64_t id)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *pair = find(id);
    bool has = pair && PyTuple_GET_ITEM(pair, 1) != Py_None;
    if (!pair) PyErr_Clear();
    Py_XDECREF(pair);
    PyGILState_Release(state);
    return has;
}

static PyObject *arrays(const gv_call *call, int from, int to)
{
    PyObject *list = PyList_New(to - from);
    for (int i = from; list && i < to; i++) {
        PyObject *a = gv_py_array_copy(&call->in_type[i], call->in[i]);
        if (!a)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i - from, a);
    }
    return list;
}

static PyObject *call_python(const gv_call *call)
{
    int64_t id = call->attr[0];
    int n_args = (int)call->attr[1];
    PyObject *pair = find(id >= 0 ? id : -id - 1), *result = NULL;
    if (!pair) return NULL;
    if (id >= 0) {
        PyObject *list = arrays(call, 0, call->nin);
        PyObject *args = list ? PyList_AsTuple(list) : NULL;
        if (args) result = PyObject_CallObject(PyTuple_GET_ITEM(pair, 0), args);
        Py_XDECREF(args);
        Py_XDECREF(list);
        Py_DECREF(pair);
        return result;
    }
    int n_out = (call->nin - n_args) / 2;
    PyObject *a = arrays(call, 0, n_args), *o = arrays(call, n_args, n_args + n_out),
             *g = arrays(call, n_args + n_out, call->nin);
    if (a && o && g)
        result = PyObject_CallFunctionObjArgs(PyTuple_GET_ITEM(pair, 1), a, o, g, NULL);
    Py_XDECREF(a), Py_XDECREF(o), Py_XDECREF(g);
    Py_DECREF(pair);
    return result;
}

/* The callable returned one array, or a tuple or list of nout. */
static gv_status store(const gv_call *call, PyObject *result)
{
    bool many = PyTuple_Check(result) || PyList_Check(result);
    PyObject *seq = many ? PySequence_Tuple(result) : PyTuple_Pack(1, result);
    if (!seq) return GV_ERR_PYTHON;
    gv_status s = GV_OK;
    if (PyTuple_GET_SIZE(seq) != call->nout) {
        PyErr_Format(PyExc_ValueError, "gv.external: %zd results, %d were declared",
                     PyTuple_GET_SIZE(seq), call->nout);
        s = GV_ERR_PYTHON;
    }
    for (int o = 0; s == GV_OK && o < call->nout; o++) {
        PyObject *a = gv_py_array_in(PyTuple_GET_ITEM(seq, o), &call->out_type[o],
                                     "gv.external: result");
        size_t bytes = 0;
        if (!a)
            s = GV_ERR_PYTHON;
        else
            s = gv_type_bytes(&call->out_type[o], &bytes);
        if (s == GV_OK && bytes) memcpy(call->out[o], gv_py_array_data(a), bytes);
        Py_XDECREF(a);
    }
    Py_DECREF(seq);
    return s;
}

static gv_status run_external(const gv_call *call)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = call_python(call);
    gv_status s = result ? store(call, result) : GV_ERR_PYTHON;
    Py_XDECREF(result);
    PyGILState_Release(state);
    return s;
}

int gv_py_external_init(void)
{
    registry = PyDict_New();
    gv_external_hook = run_external;
    gv_external_has_vjp = has_vjp;
    return registry ? 0 : -1;
}

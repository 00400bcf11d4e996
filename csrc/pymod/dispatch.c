/* _core.Dispatch: the fast path of gv.compile.
 *
 * Holds entries (what the arguments looked like, the program for them). A call whose
 * arguments fit an entry runs its program at once; any other goes to `miss`. */
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "pymod/pymod.h"
#include <structmember.h>

typedef enum { ARG_ARRAY, ARG_FLOAT, ARG_STATIC } arg_kind;

typedef struct {
    arg_kind kind;
    gv_type type;
    PyObject *value; /* static */
} arg_spec;

typedef struct {
    int n_arg;
    arg_spec *arg;
    gv_program *p;
    PyObject *hidden; /* tuple of arrays for the trailing inputs */
    PyObject *finish; /* NULL: single, None: tuple, else a callable */
} entry;

typedef struct {
    PyObject_HEAD PyObject *miss;
    entry **entries;
    int n, cap;
    vectorcallfunc call;
} PyDispatch;

enum { MAX_ARGS = 16 };

static void entry_free(entry *e)
{
    if (!e) return;
    for (int i = 0; i < e->n_arg; i++) Py_XDECREF(e->arg[i].value);
    gv_free(e->arg);
    gv_program_unref(e->p);
    Py_XDECREF(e->hidden);
    Py_XDECREF(e->finish);
    gv_free(e);
}

static bool static_equal(PyObject *a, PyObject *b)
{
    if (a == b) return true;
    if (Py_TYPE(a) != Py_TYPE(b)) return false;
    if (!PyLong_CheckExact(a) && !PyUnicode_CheckExact(a)) return false;
    int r = PyObject_RichCompareBool(a, b, Py_EQ);
    if (r < 0) PyErr_Clear();
    return r == 1;
}

static bool match(const entry *e, PyObject *const *args, Py_ssize_t n, const void **in,
                  double *numbers)
{
    if (n != e->n_arg) return false;
    int k = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        const arg_spec *a = &e->arg[i];
        if (a->kind == ARG_ARRAY) {
            const void *data = gv_py_array_fast(args[i], &a->type);
            if (!data && gv_py_scalar_fast(args[i], &a->type, &numbers[i]))
                data = &numbers[i];
            if (!data) return false;
            in[k++] = data;
        } else if (a->kind == ARG_FLOAT) {
            if (!PyFloat_CheckExact(args[i])) return false;
            numbers[i] = PyFloat_AS_DOUBLE(args[i]);
            in[k++] = &numbers[i];
        } else if (!static_equal(args[i], a->value)) {
            return false;
        }
    }
    return true;
}

static PyObject *finish(const entry *e, PyObject *list)
{
    if (!list) return NULL;
    if (e->finish == NULL) {
        PyObject *a = Py_NewRef(PyList_GET_ITEM(list, 0));
        Py_DECREF(list);
        return gv_py_scalar(a);
    }
    if (e->finish != Py_None) {
        PyObject *r = PyObject_CallOneArg(e->finish, list);
        Py_DECREF(list);
        return r;
    }
    Py_ssize_t n = PyList_GET_SIZE(list);
    PyObject *t = PyTuple_New(n);
    for (Py_ssize_t i = 0; t && i < n; i++) {
        PyObject *a = gv_py_scalar(Py_NewRef(PyList_GET_ITEM(list, i)));
        if (!a)
            Py_CLEAR(t);
        else
            PyTuple_SET_ITEM(t, i, a);
    }
    Py_DECREF(list);
    return t;
}

static PyObject *dispatch_call(PyObject *self, PyObject *const *args, size_t nargsf,
                               PyObject *kwnames)
{
    PyDispatch *d = (PyDispatch *)self;
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    if (!kwnames && n <= MAX_ARGS && !gv_py_debug) {
        const void *few[2 * MAX_ARGS], **in = few;
        double numbers[MAX_ARGS];
        for (int i = 0; i < d->n; i++) {
            entry *e = d->entries[i];
            if (!match(e, args, n, few, numbers)) continue;
            Py_ssize_t hidden = PyTuple_GET_SIZE(e->hidden),
                       visible = e->p->nin - hidden;
            if (e->p->nin > 2 * MAX_ARGS) {
                in = gv_alloc((size_t)e->p->nin * sizeof *in);
                if (!in) return gv_py_raise(GV_ERR_MEMORY);
                memcpy(in, few, (size_t)visible * sizeof *in);
            }
            for (Py_ssize_t k = 0; k < hidden; k++)
                in[visible + k] = gv_py_array_data(PyTuple_GET_ITEM(e->hidden, k));
            gv_program *p = gv_program_ref(e->p);
            PyObject *held = Py_NewRef(self);
            PyObject *r = finish(e, gv_py_run(p, in));
            Py_DECREF(held);
            gv_program_unref(p);
            if (in != few) gv_free(in);
            return r;
        }
    }
    return PyObject_Vectorcall(d->miss, args, nargsf, kwnames);
}

static int read_arg(PyObject *item, arg_spec *a)
{
    if (item == (PyObject *)&PyFloat_Type) {
        a->kind = ARG_FLOAT;
        a->type.dtype = GV_F64;
        return 0;
    }
    if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2) {
        a->kind = ARG_STATIC;
        a->value = Py_NewRef(PyTuple_GET_ITEM(item, 1));
        return 0;
    }
    a->kind = ARG_ARRAY;
    PyObject *array = gv_py_array_any(item, &a->type);
    Py_XDECREF(array);
    return array ? 0 : -1;
}

static int read_entry(entry *e, PyObject *template, PyObject *program, PyObject *hidden,
                      PyObject *out)
{
    e->n_arg = (int)PyTuple_GET_SIZE(template);
    e->arg = gv_alloc_zero(((size_t)e->n_arg + 1) * sizeof *e->arg);
    if (!e->arg) return gv_py_raise(GV_ERR_MEMORY), -1;
    int visible = 0;
    for (int i = 0; i < e->n_arg; i++) {
        if (read_arg(PyTuple_GET_ITEM(template, i), &e->arg[i]) < 0) return -1;
        visible += e->arg[i].kind != ARG_STATIC;
    }
    e->p = gv_program_ref(((PyProgram *)program)->p);
    PyObject *seq = PySequence_Tuple(hidden);
    if (!seq) return -1;
    e->hidden = seq;
    if (visible + PyTuple_GET_SIZE(seq) != e->p->nin) {
        PyErr_Format(PyExc_ValueError,
                     "%d arguments and %zd hidden arrays for a program of %d inputs",
                     visible, PyTuple_GET_SIZE(seq), e->p->nin);
        return -1;
    }
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(seq); k++)
        if (!gv_py_array_fast(PyTuple_GET_ITEM(seq, k), &e->p->in_type[visible + k])) {
            PyErr_SetString(PyExc_TypeError, "a hidden array does not fit the program");
            return -1;
        }
    if (PyUnicode_Check(out)) {
        if (PyUnicode_CompareWithASCIIString(out, "single") == 0)
            e->finish = NULL;
        else
            e->finish = Py_NewRef(Py_None);
    } else {
        e->finish = Py_NewRef(out);
    }
    return 0;
}

static PyObject *dispatch_add(PyObject *self, PyObject *args)
{
    PyDispatch *d = (PyDispatch *)self;
    PyObject *template, *program, *hidden, *out;
    if (!PyArg_ParseTuple(args, "O!O!OO", &PyTuple_Type, &template, gv_py_program_type,
                          &program, &hidden, &out))
        return NULL;
    if (d->n == d->cap) {
        int cap = d->cap ? 2 * d->cap : 4;
        entry **more = gv_realloc(d->entries, (size_t)d->cap * sizeof *more,
                                  (size_t)cap * sizeof *more);
        if (!more) return gv_py_raise(GV_ERR_MEMORY);
        d->entries = more;
        d->cap = cap;
    }
    entry *e = gv_alloc_zero(sizeof *e);
    if (!e) return gv_py_raise(GV_ERR_MEMORY);
    if (read_entry(e, template, program, hidden, out) < 0) {
        entry_free(e);
        return NULL;
    }
    d->entries[d->n++] = e;
    Py_RETURN_NONE;
}

static PyObject *dispatch_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *miss;
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Dispatch(miss) takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O", &miss)) return NULL;
    PyDispatch *d = (PyDispatch *)type->tp_alloc(type, 0);
    if (!d) return NULL;
    d->miss = Py_NewRef(miss);
    d->call = dispatch_call;
    return (PyObject *)d;
}

static int dispatch_traverse(PyObject *self, visitproc visit, void *arg)
{
    PyDispatch *d = (PyDispatch *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(d->miss);
    for (int i = 0; i < d->n; i++) {
        Py_VISIT(d->entries[i]->hidden);
        Py_VISIT(d->entries[i]->finish);
    }
    return 0;
}

static int dispatch_clear(PyObject *self)
{
    PyDispatch *d = (PyDispatch *)self;
    int n = d->n;
    d->n = 0;
    for (int i = 0; i < n; i++) entry_free(d->entries[i]);
    Py_CLEAR(d->miss);
    return 0;
}

static void dispatch_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    dispatch_clear(self);
    gv_free(((PyDispatch *)self)->entries);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef dispatch_methods[] = {
    { "add", dispatch_add, METH_VARARGS, "add(template, program, hidden, out)" },
    { NULL, NULL, 0, NULL },
};

static PyMemberDef dispatch_members[] = {
    { "__vectorcalloffset__", T_PYSSIZET, offsetof(PyDispatch, call), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};

static PyType_Slot dispatch_slots[] = {
    { Py_tp_new, dispatch_new },
    { Py_tp_dealloc, dispatch_dealloc },
    { Py_tp_traverse, dispatch_traverse },
    { Py_tp_clear, dispatch_clear },
    { Py_tp_call, PyVectorcall_Call },
    { Py_tp_methods, dispatch_methods },
    { Py_tp_members, dispatch_members },
    { Py_tp_doc,
      "Dispatch(miss): calls the program that fits the arguments, else miss." },
    { 0, NULL },
};

static PyType_Spec dispatch_spec = {
    .name = "gradiverse._core.Dispatch",
    .basicsize = sizeof(PyDispatch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
        Py_TPFLAGS_BASETYPE,
    .slots = dispatch_slots,
};

int gv_py_dispatch_init(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&dispatch_spec);
    if (!type) return -1;
    int r = PyModule_AddObjectRef(module, "Dispatch", type);
    Py_DECREF(type);
    return r;
}

/* _core.Program: a planned program; run(list of arrays) -> list of arrays. */
#include <string.h>

#include "base/alloc.h"
#include "pymod/pymod.h"

PyTypeObject *gv_py_program_type;
bool gv_py_debug;

PyObject *gv_py_program_new(gv_program *p)
{
    PyProgram *self = PyObject_New(PyProgram, gv_py_program_type);
    if (!self) {
        gv_program_unref(p);
        return NULL;
    }
    self->p = p;
    return (PyObject *)self;
}

static void program_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    gv_program_unref(((PyProgram *)self)->p);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* Small straight programs keep the GIL: giving it back costs more than the run. */
static bool is_short(const gv_program *p)
{
    return p->n_sub == 0 && p->n_instr <= 32 && p->arena + p->out_bytes <= 16384;
}

PyObject *gv_py_run(gv_program *p, const void **in)
{
    PyObject *list = PyList_New(p->nout);
    if (!list) return NULL;
    void *few[8], **out = few;
    if (p->nout > 8 && !(out = gv_alloc((size_t)p->nout * sizeof *out))) {
        Py_DECREF(list);
        return gv_py_raise(GV_ERR_MEMORY);
    }
    void *slab = NULL;
    PyObject *owner = p->slab ? gv_py_block(p->slab, &slab) : NULL;
    if (p->slab && !owner) Py_CLEAR(list);
    for (int i = 0; list && i < p->nout; i++) {
        PyObject *a = p->slab_at[i] < 0
            ? gv_py_array_out(&p->out_type[i])
            : gv_py_array_on(&p->out_type[i], (char *)slab + p->slab_at[i], owner);
        if (!a) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, a);
        out[i] = gv_py_array_data(a);
    }
    Py_XDECREF(owner);
    if (list) {
        gv_status s;
        if (is_short(p)) {
            s = gv_program_run(p, in, out);
        } else {
            PyThreadState *state = PyEval_SaveThread();
            s = gv_program_run(p, in, out);
            PyEval_RestoreThread(state);
        }
        if (s != GV_OK) {
            Py_CLEAR(list);
            gv_py_raise(s);
        }
    }
    if (out != few) gv_free(out);
    return list;
}

static PyObject *program_run(PyObject *self, PyObject *arrays)
{
    gv_program *p = ((PyProgram *)self)->p;
    PyObject *seq = PySequence_Fast(arrays, "run takes a list of arrays");
    if (!seq) return NULL;
    if (PySequence_Fast_GET_SIZE(seq) != p->nin) {
        PyErr_Format(PyExc_ValueError, "%zd arrays given, the program takes %d",
                     PySequence_Fast_GET_SIZE(seq), p->nin);
        Py_DECREF(seq);
        return NULL;
    }
    PyObject *result = NULL,
             **held = gv_alloc_zero(((size_t)p->nin + 1) * sizeof *held);
    const void **in = gv_alloc(((size_t)p->nin + 1) * sizeof *in);
    bool ok = held && in;
    if (!ok) gv_py_raise(GV_ERR_MEMORY);
    for (int i = 0; ok && i < p->nin; i++) {
        char what[32];
        PyOS_snprintf(what, sizeof what, "input %d", i);
        held[i] =
            gv_py_array_in(PySequence_Fast_GET_ITEM(seq, i), &p->in_type[i], what);
        ok = held[i] != NULL;
        if (ok) in[i] = gv_py_array_data(held[i]);
    }
    if (ok) result = gv_py_run(p, in);
    for (int i = 0; held && i < p->nin; i++) Py_XDECREF(held[i]);
    gv_free(held);
    gv_free(in);
    Py_DECREF(seq);
    return result;
}

static PyObject *program_dump(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    char *text = gv_program_dump(((PyProgram *)self)->p);
    if (!text) return gv_py_raise(GV_ERR_MEMORY);
    PyObject *s = PyUnicode_FromString(text);
    gv_free(text);
    return s;
}

static PyObject *get_peak(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(gv_program_peak(((PyProgram *)self)->p));
}

static PyObject *get_arena(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(((PyProgram *)self)->p->arena);
}

static int add_name(PyObject *list, const char *name)
{
    PyObject *s = PyUnicode_FromString(name);
    int bad = !s || PyList_Append(list, s) < 0;
    Py_XDECREF(s);
    return bad ? -1 : 0;
}

/* Names of what runs, in order; the steps of a fused pass one by one. */
static PyObject *get_ops(PyObject *self, void *closure)
{
    (void)closure;
    const gv_program *p = ((PyProgram *)self)->p;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < p->n_instr; i++) {
        const gv_instr *in = &p->instr[i];
        int bad = 0;
        if (in->kind == GV_RUN_COPY)
            bad = add_name(list, "copy");
        else if (in->kind == GV_RUN_OP)
            bad = add_name(list, in->node->op->name);
        else
            for (int k = 0; !bad && k < in->fused->n_step; k++)
                bad = add_name(list, in->fused->step[k].node->op->name);
        if (bad) Py_CLEAR(list);
    }
    return list;
}

static PyObject *get_passes(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((PyProgram *)self)->p->n_instr);
}

static PyMethodDef program_methods[] = {
    { "run", program_run, METH_O, "run(arrays) -> list of arrays" },
    { "repeat", gv_py_repeat, METH_VARARGS,
      "repeat(carry, xs, fixed, ys, n, start, seconds) -> next step" },
    { "dump", program_dump, METH_NOARGS, "dump() -> str, the plan as a table" },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef program_getset[] = {
    { "peak_bytes", get_peak, NULL, "bytes of arena and results", NULL },
    { "arena_bytes", get_arena, NULL, "bytes of the arena", NULL },
    { "ops", get_ops, NULL, "names of the operators in the order they run", NULL },
    { "passes", get_passes, NULL, "number of instructions (a fused pass is one)",
      NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot program_slots[] = {
    { Py_tp_dealloc, program_dealloc },
    { Py_tp_methods, program_methods },
    { Py_tp_getset, program_getset },
    { Py_tp_doc, "A planned program; made by Graph.program." },
    { 0, NULL },
};

static PyType_Spec program_spec = {
    .name = "gradiverse._core.Program",
    .basicsize = sizeof(PyProgram),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = program_slots,
};

int gv_py_program_init(PyObject *module)
{
    gv_py_program_type = (PyTypeObject *)PyType_FromSpec(&program_spec);
    if (!gv_py_program_type) return -1;
    return PyModule_AddObjectRef(module, "Program", (PyObject *)gv_py_program_type);
}

/* The module `_core`: types, settings, the operator table. */
#include "base/alloc.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/blas.h"
#include "kernels/fft.h"
#include "pymod/pymod.h"

static PyObject *set_threads(PyObject *self, PyObject *arg)
{
    (void)self;
    long n = PyLong_AsLong(arg);
    if (n == -1 && PyErr_Occurred()) return NULL;
    if (n < 1 || n > 1024)
        return PyErr_Format(PyExc_ValueError,
                            "set_threads: %ld threads; give 1 to 1024", n);
    gv_threads_set((int)n);
    Py_RETURN_NONE;
}

static PyObject *get_threads(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    return PyLong_FromLong(gv_threads_get());
}

static PyObject *simd(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    return PyUnicode_FromString(gv_simd_name(gv_simd_level()));
}

static PyObject *set_simd(PyObject *self, PyObject *arg)
{
    (void)self;
    const char *name = PyUnicode_AsUTF8(arg);
    if (!name) return NULL;
    for (int level = GV_SIMD_BASE; level <= GV_SIMD_AVX512; level++)
        if (strcmp(name, gv_simd_name((gv_simd)level)) == 0) {
            gv_program_cache_clear();
            return PyUnicode_FromString(gv_simd_name(gv_simd_set((gv_simd)level)));
        }
    return PyErr_Format(PyExc_ValueError, "no SIMD level is called %s", name);
}

static PyObject *flag_names(unsigned flags)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = { { GV_LINEAR, "LINEAR" },   { GV_BILINEAR, "BILINEAR" },
                  { GV_NODIFF, "NODIFF" },   { GV_ELEMENTWISE, "ELEMENTWISE" },
                  { GV_INPLACE, "INPLACE" }, { GV_DESTROYS, "DESTROYS" },
                  { GV_RANDOM, "RANDOM" },   { GV_CHEAP, "CHEAP" },
                  { GV_NONDET, "NONDET" },   { GV_VIEW, "VIEW" },
                  { GV_UNIQUE, "UNIQUE" },   { GV_STATEFUL, "STATEFUL" } };
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < sizeof names / sizeof *names; i++) {
        if (!(flags & names[i].bit)) continue;
        PyObject *s = PyUnicode_FromString(names[i].name);
        if (!s || PyList_Append(list, s) < 0) Py_CLEAR(list);
        Py_XDECREF(s);
    }
    return list;
}

static PyObject *ops(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *list = PyList_New(gv_op_count);
    for (int i = 0; list && i < gv_op_count; i++) {
        const gv_op *op = gv_op_table[i];
        PyObject *d = Py_BuildValue(
            "{s:s,s:s,s:s,s:s,s:s,s:N,s:O,s:O,s:O,s:i}", "name", op->name, "signature",
            op->signature, "doc", op->doc, "attrs", op->attrs ? op->attrs : "",
            "samples", op->samples ? op->samples : "", "flags", flag_names(op->flags),
            "vjp", op->vjp ? Py_True : Py_False, "jvp", op->jvp ? Py_True : Py_False,
            "batch", op->batch ? Py_True : Py_False, "nin", op->nin);
        if (!d)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, d);
    }
    return list;
}

static PyObject *alloc_stats(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    gv_alloc_stats s = gv_alloc_get_stats();
    return Py_BuildValue("{s:L,s:L,s:L,s:L}", "live_blocks", (long long)s.live_blocks,
                         "live_bytes", (long long)s.live_bytes, "peak_bytes",
                         (long long)s.peak_bytes, "total_blocks",
                         (long long)s.total_blocks);
}

static PyObject *alloc_reset_peak(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    gv_alloc_reset_peak();
    Py_RETURN_NONE;
}

static PyObject *alloc_fail_after(PyObject *self, PyObject *arg)
{
    (void)self;
    long long n = PyLong_AsLongLong(arg);
    if (n == -1 && PyErr_Occurred()) return NULL;
    gv_alloc_fail_after(n);
    Py_RETURN_NONE;
}

static PyObject *set_debug(PyObject *self, PyObject *arg)
{
    (void)self;
    int on = PyObject_IsTrue(arg);
    if (on < 0) return NULL;
    bool before = gv_py_debug;
    gv_py_debug = on;
    return PyBool_FromLong(before);
}

static PyObject *set_poison(PyObject *self, PyObject *arg)
{
    (void)self;
    int on = PyObject_IsTrue(arg);
    if (on < 0) return NULL;
    bool before = gv_poison_arena;
    gv_poison_arena = on;
    return PyBool_FromLong(before);
}

static PyObject *plan_cache_clear(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    gv_program_cache_clear();
    gv_pool_trim();
    Py_RETURN_NONE;
}

static PyObject *config(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    return Py_BuildValue("{s:s,s:s,s:O,s:s,s:s,s:i}", "blas_core", gv_blas_core(),
                         "blas_config", gv_blas_config(), "blas_core_is_sane",
                         gv_blas_core_is_sane() ? Py_True : Py_False, "fftw",
                         gv_fft_version(), "simd", gv_simd_name(gv_simd_level()),
                         "threads", gv_threads_get());
}

static PyObject *fft_count(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    return PyLong_FromLongLong(gv_fft_count());
}

static PyMethodDef methods[] = {
    { "set_threads", set_threads, METH_O, "set_threads(n)" },
    { "get_threads", get_threads, METH_NOARGS, "get_threads() -> int" },
    { "simd", simd, METH_NOARGS, "simd() -> level in force" },
    { "set_simd", set_simd, METH_O, "set_simd(name) -> level now in force" },
    { "ops", ops, METH_NOARGS, "ops() -> list of dicts, the operator table" },
    { "alloc_stats", alloc_stats, METH_NOARGS, "alloc_stats() -> dict" },
    { "alloc_reset_peak", alloc_reset_peak, METH_NOARGS, "alloc_reset_peak()" },
    { "alloc_fail_after", alloc_fail_after, METH_O,
      "alloc_fail_after(n): let the n-th allocation fail (tests)" },
    { "set_debug", set_debug, METH_O, "set_debug(on) -> before" },
    { "set_poison", set_poison, METH_O,
      "set_poison(on) -> before: NaN in the arena (tests)" },
    { "plan_cache_clear", plan_cache_clear, METH_NOARGS, "plan_cache_clear()" },
    { "config", config, METH_NOARGS, "config() -> dict" },
    { "fft_count", fft_count, METH_NOARGS, "fft_count() -> FFTs executed so far" },
    { "register_external", gv_py_register_external, METH_VARARGS,
      "register_external(callable, vjp or None) -> id" },
    { "release_external", gv_py_release_external, METH_O, "release_external(id)" },
    { NULL, NULL, 0, NULL },
};

static int exec_module(PyObject *module)
{
    if (gv_py_arrays_init() < 0 || gv_py_errors_init(module) < 0 ||
        gv_py_graph_init(module) < 0 || gv_py_program_init(module) < 0 ||
        gv_py_dispatch_init(module) < 0 || gv_py_external_init() < 0)
        return -1;
    gv_blas_setup();
    gv_poll_hook = gv_py_poll;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    { Py_mod_exec, (void *)exec_module },
#ifdef Py_mod_multiple_interpreters
    { Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },
#endif
    { 0, NULL },
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "The C engine: graphs, derivatives, planned programs.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&module_def); }

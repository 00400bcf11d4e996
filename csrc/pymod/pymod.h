/* The Python face of the engine: shared declarations of the `_core` module.
 *
 * Only this folder includes Python.h and NumPy. arrays.c owns the conversion of
 * arrays, errors.c that of status codes; every other file is one type or one group of
 * functions. */
#ifndef GV_PYMOD_PYMOD_H
#define GV_PYMOD_PYMOD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "graph/program.h"

/* --- errors.c ------------------------------------------------------------------- */
PyObject *gv_py_raise(gv_status status); /* always NULL; an exception is set */
int gv_py_errors_init(PyObject *module);
gv_status gv_py_poll(void);

/* --- arrays.c -------------------------------------------------------------------- */
int gv_py_arrays_init(void);
/* 0 when the name is unknown (an exception is set). */
int gv_py_dtype(PyObject *name, gv_dtype *dtype);
int gv_py_type(PyObject *dtype, PyObject *shape, gv_type *type);
PyObject *gv_py_shape(const gv_shape *shape);
/* The array as the engine wants it (contiguous, aligned, native, of this type);
 * a new reference, or NULL with an exception. `what` names it in the message. */
PyObject *gv_py_array_in(PyObject *object, const gv_type *type, const char *what);
void *gv_py_array_data(PyObject *array);
/* A new array to be filled; large ones use pooled memory. */
PyObject *gv_py_array_out(const gv_type *type);
/* A pooled block as an object that owns it, and an array on part of it. */
PyObject *gv_py_block(size_t bytes, void **data);
PyObject *gv_py_array_on(const gv_type *type, void *data, PyObject *owner);
/* Any array: its type and a contiguous version (new reference). */
PyObject *gv_py_array_any(PyObject *object, gv_type *type);
PyObject *gv_py_array_copy(const gv_type *type, const void *data);
PyObject *gv_py_scalar(PyObject *array); /* steals; 0-d arrays become NumPy scalars */
/* Fast check used by Dispatch: an exact ndarray of this type, usable in place. */
const void *gv_py_array_fast(PyObject *object, const gv_type *type);
/* The same of an array that may be written to, with one more leading axis when n >= 0. */
void *gv_py_array_room(PyObject *object, const gv_type *type, int64_t n);
/* The same for NumPy's scalars float64 and float32: the number goes to *value. */
bool gv_py_scalar_fast(PyObject *object, const gv_type *type, void *value);

/* --- types ------------------------------------------------------------------------ */
typedef struct {
    PyObject_HEAD gv_graph *g;
    bool *known; /* per value: its array is at hand, sweeps stop here */
    int cap_known;
} PyGraph;

typedef struct {
    PyObject_HEAD gv_func *f;
} PyFunc;

typedef struct {
    PyObject_HEAD gv_program *p;
} PyProgram;

int gv_py_graph_init(PyObject *module);
int gv_py_program_init(PyObject *module);
int gv_py_dispatch_init(PyObject *module);
extern PyTypeObject *gv_py_func_type, *gv_py_program_type;
PyObject *gv_py_program_new(gv_program *p); /* steals */
/* Run with arrays already converted; a new list of results. */
PyObject *gv_py_run(gv_program *p, const void **in);

/* repeat.c */
PyObject *gv_py_repeat(PyObject *self, PyObject *args);

/* external.c */
PyObject *gv_py_register_external(PyObject *self, PyObject *args);
PyObject *gv_py_release_external(PyObject *self, PyObject *id);
int gv_py_external_init(void);

extern bool gv_py_debug;

#endif

/* Status codes to Python exceptions, and the check for Ctrl-C. */
#include "pymod/pymod.h"

static PyObject *linalg_error;

int gv_py_errors_init(PyObject *module)
{
    PyObject *linalg = PyImport_ImportModule("numpy.linalg");
    if (!linalg) return -1;
    PyObject *base = PyObject_GetAttrString(linalg, "LinAlgError");
    Py_DECREF(linalg);
    if (!base) return -1;
    linalg_error = PyErr_NewExceptionWithDoc(
        "gradiverse._core.LinAlgError",
        "A matrix that is not positive definite, singular, or a decomposition that did "
        "not "
        "converge; the message names the pivot and the matrix of the batch.",
        base, NULL);
    Py_DECREF(base);
    if (!linalg_error) return -1;
    return PyModule_AddObjectRef(module, "LinAlgError", linalg_error);
}

PyObject *gv_py_raise(gv_status status)
{
    PyObject *type;
    switch (status) {
    case GV_ERR_VALUE: type = PyExc_ValueError; break;
    case GV_ERR_TYPE: type = PyExc_TypeError; break;
    case GV_ERR_MEMORY: type = PyExc_MemoryError; break;
    case GV_ERR_LINALG: type = linalg_error; break;
    case GV_ERR_FLOAT: type = PyExc_FloatingPointError; break;
    case GV_ERR_OS: type = PyExc_OSError; break;
    case GV_ERR_INTERRUPT: type = PyExc_KeyboardInterrupt; break;
    default: type = PyExc_RuntimeError; break;
    }
    if (status == GV_ERR_PYTHON && PyErr_Occurred()) return NULL;
    const char *message = gv_fail_message();
    if (status == GV_ERR_MEMORY && !*message) message = "out of memory";
    PyErr_SetString(type, message);
    gv_fail_clear();
    return NULL;
}

gv_status gv_py_poll(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int stop = PyErr_CheckSignals();
    PyGILState_Release(state);
    return stop ? GV_ERR_PYTHON : GV_OK;
}

/* NumPy arrays in and out: the only file that uses the NumPy C-API. */
#include "pymod/pymod.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>
#include <string.h>

#include "base/alloc.h"

int gv_py_arrays_init(void)
{
    import_array1(-1);
    return 0;
}

static int npy_type(gv_dtype d)
{
    static const int types[] = { NPY_BOOL,       NPY_INT32,   NPY_INT64,
                                 NPY_FLOAT32,    NPY_FLOAT64, NPY_COMPLEX64,
                                 NPY_COMPLEX128, NPY_INT32,   NPY_INT64 };
    return types[d];
}

/* long and long long are distinct type numbers of one size. */
static bool from_npy(int num, int size, gv_dtype *d)
{
    switch (num) {
    case NPY_BOOL: *d = GV_BOOL; return true;
    case NPY_INT:
    case NPY_LONG:
    case NPY_LONGLONG:
        if (size != 4 && size != 8) return false;
        *d = size == 4 ? GV_I32 : GV_I64;
        return true;
    case NPY_FLOAT: *d = GV_F32; return true;
    case NPY_DOUBLE: *d = GV_F64; return true;
    case NPY_CFLOAT: *d = GV_C64; return true;
    case NPY_CDOUBLE: *d = GV_C128; return true;
    default: return false;
    }
}

int gv_py_dtype(PyObject *name, gv_dtype *dtype)
{
    const char *s = PyUnicode_AsUTF8(name);
    if (!s) return 0;
    for (int d = 0; d < GV_N_DTYPE; d++)
        if (strcmp(s, gv_dtype_name((gv_dtype)d)) == 0) {
            *dtype = (gv_dtype)d;
            return 1;
        }
    PyErr_Format(PyExc_TypeError,
                 "dtype %s is not supported: use bool, int32, int64, float32, float64, "
                 "complex64 or complex128",
                 s);
    return 0;
}

int gv_py_type(PyObject *dtype, PyObject *shape, gv_type *type)
{
    memset(type, 0, sizeof *type);
    if (!gv_py_dtype(dtype, &type->dtype)) return 0;
    PyObject *seq = PySequence_Fast(shape, "shape must be a tuple of ints");
    if (!seq) return 0;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(seq);
    if (n > GV_MAX_DIM) {
        PyErr_Format(PyExc_ValueError, "%zd axes; at most %d are supported", n,
                     GV_MAX_DIM);
        Py_DECREF(seq);
        return 0;
    }
    type->shape.ndim = (int)n;
    for (Py_ssize_t i = 0; i < n; i++) {
        type->shape.dim[i] = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(seq, i));
        if (type->shape.dim[i] == -1 && PyErr_Occurred()) break;
        if (type->shape.dim[i] < 0) {
            PyErr_SetString(PyExc_ValueError, "negative dimension");
            break;
        }
    }
    Py_DECREF(seq);
    return !PyErr_Occurred();
}

PyObject *gv_py_shape(const gv_shape *shape)
{
    PyObject *t = PyTuple_New(shape->ndim);
    for (int i = 0; t && i < shape->ndim; i++) {
        PyObject *d = PyLong_FromLongLong(shape->dim[i]);
        if (!d)
            Py_CLEAR(t);
        else
            PyTuple_SET_ITEM(t, i, d);
    }
    return t;
}

static bool fits(PyArrayObject *a, const gv_type *type)
{
    gv_dtype d;
    int size = (int)PyDataType_ELSIZE(PyArray_DESCR(a));
    if (!from_npy(PyArray_TYPE(a), size, &d)) return false;
    if (d != type->dtype && npy_type(type->dtype) != npy_type(d)) return false;
    if (PyArray_NDIM(a) != type->shape.ndim) return false;
    for (int i = 0; i < type->shape.ndim; i++)
        if (PyArray_DIM(a, i) != type->shape.dim[i]) return false;
    return true;
}

const void *gv_py_array_fast(PyObject *object, const gv_type *type)
{
    if (!PyArray_CheckExact(object)) return NULL;
    PyArrayObject *a = (PyArrayObject *)object;
    if (!PyArray_IS_C_CONTIGUOUS(a) || !PyArray_ISALIGNED(a) ||
        !PyArray_ISNOTSWAPPED(a))
        return NULL;
    return fits(a, type) ? PyArray_DATA(a) : NULL;
}

void *gv_py_array_room(PyObject *object, const gv_type *type, int64_t n)
{
    gv_type t = *type;
    if (n >= 0) {
        if (t.shape.ndim >= GV_MAX_DIM) return NULL;
        for (int i = t.shape.ndim++; i > 0; i--) t.shape.dim[i] = t.shape.dim[i - 1];
        t.shape.dim[0] = n;
    }
    const void *data = gv_py_array_fast(object, &t);
    if (!data || !PyArray_ISWRITEABLE((PyArrayObject *)object)) return NULL;
    return PyArray_DATA((PyArrayObject *)object);
}

bool gv_py_scalar_fast(PyObject *object, const gv_type *type, void *value)
{
    if (type->shape.ndim) return false;
    if (type->dtype == GV_F64 && PyArray_IsScalar(object, Double)) {
        memcpy(value, &PyArrayScalar_VAL(object, Double), sizeof(double));
        return true;
    }
    if (type->dtype == GV_F32 && PyArray_IsScalar(object, Float)) {
        memcpy(value, &PyArrayScalar_VAL(object, Float), sizeof(float));
        return true;
    }
    return false;
}

PyObject *gv_py_array_in(PyObject *object, const gv_type *type, const char *what)
{
    if (gv_py_array_fast(object, type)) return Py_NewRef(object);
    PyObject *a = PyArray_FROM_OF(object, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED);
    if (!a) return NULL;
    if (fits((PyArrayObject *)a, type)) return a;
    char want[160];
    PyErr_Format(PyExc_TypeError, "%s: %R of shape %S given, %s wanted", what,
                 (PyObject *)PyArray_DESCR((PyArrayObject *)a),
                 PyObject_GetAttrString(a, "shape"),
                 gv_type_format(type, want, sizeof want));
    Py_DECREF(a);
    return NULL;
}

void *gv_py_array_data(PyObject *array) { return PyArray_DATA((PyArrayObject *)array); }

PyObject *gv_py_array_any(PyObject *object, gv_type *type)
{
    PyObject *a = PyArray_FROM_OF(object, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED);
    if (!a) return NULL;
    PyArrayObject *x = (PyArrayObject *)a;
    memset(type, 0, sizeof *type);
    if (!from_npy(PyArray_TYPE(x), (int)PyDataType_ELSIZE(PyArray_DESCR(x)),
                  &type->dtype)) {
        PyErr_Format(
            PyExc_TypeError,
            "dtype %S is not supported: use bool, int32, int64, float32, float64, "
            "complex64 or complex128",
            (PyObject *)PyArray_DESCR(x));
        Py_DECREF(a);
        return NULL;
    }
    if (PyArray_NDIM(x) > GV_MAX_DIM) {
        PyErr_Format(PyExc_ValueError, "%d axes; at most %d are supported",
                     PyArray_NDIM(x), GV_MAX_DIM);
        Py_DECREF(a);
        return NULL;
    }
    type->shape.ndim = PyArray_NDIM(x);
    for (int i = 0; i < type->shape.ndim; i++) type->shape.dim[i] = PyArray_DIM(x, i);
    return a;
}

struct pooled {
    void *block;
    size_t bytes;
};

static void free_pooled(PyObject *capsule)
{
    struct pooled *p = PyCapsule_GetPointer(capsule, NULL);
    gv_pool_put(p->block, p->bytes);
    gv_free(p);
}

PyObject *gv_py_block(size_t bytes, void **data)
{
    struct pooled *p = gv_alloc(sizeof *p);
    void *block = p ? gv_pool_get(bytes) : NULL;
    if (!block) {
        gv_free(p);
        gv_fail_clear();
        return PyErr_NoMemory();
    }
    p->block = *data = block;
    p->bytes = bytes;
    PyObject *capsule = PyCapsule_New(p, NULL, free_pooled);
    if (!capsule) {
        gv_pool_put(block, bytes);
        gv_free(p);
    }
    return capsule;
}

PyObject *gv_py_array_on(const gv_type *type, void *data, PyObject *owner)
{
    npy_intp dims[GV_MAX_DIM];
    for (int i = 0; i < type->shape.ndim; i++) dims[i] = (npy_intp)type->shape.dim[i];
    PyObject *a =
        PyArray_New(&PyArray_Type, type->shape.ndim, dims, npy_type(type->dtype), NULL,
                    data, 0, NPY_ARRAY_CARRAY, NULL);
    if (a && PyArray_SetBaseObject((PyArrayObject *)a, Py_NewRef(owner)) < 0)
        Py_CLEAR(a);
    return a;
}

PyObject *gv_py_array_out(const gv_type *type)
{
    npy_intp dims[GV_MAX_DIM];
    size_t bytes;
    gv_status s = gv_type_bytes(type, &bytes);
    if (s != GV_OK) return gv_py_raise(s);
    for (int i = 0; i < type->shape.ndim; i++) dims[i] = (npy_intp)type->shape.dim[i];
    if (bytes < 65536)
        return PyArray_SimpleNew(type->shape.ndim, dims, npy_type(type->dtype));
    void *data = NULL;
    PyObject *owner = gv_py_block(bytes, &data);
    PyObject *a = owner ? gv_py_array_on(type, data, owner) : NULL;
    Py_XDECREF(owner);
    return a;
}

PyObject *gv_py_array_copy(const gv_type *type, const void *data)
{
    PyObject *a = gv_py_array_out(type);
    size_t bytes;
    gv_status s = gv_type_bytes(type, &bytes);
    if (s != GV_OK) {
        Py_XDECREF(a);
        return gv_py_raise(s);
    }
    if (a && bytes) memcpy(gv_py_array_data(a), data, bytes);
    return a;
}

PyObject *gv_py_scalar(PyObject *array)
{
    return PyArray_Return((PyArrayObject *)array);
}

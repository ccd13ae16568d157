// What a metric adds up: the total of a counter, the sum and the buckets of a histogram. Bases of the classes that
// prometheus_client writes out. The interpreter's lock is theirs, too: nothing here lets go of it.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <structmember.h>

namespace amounts {

constexpr int kMostBounds = 32;

struct Total {
  PyObject_HEAD
  double total;
  bool observable;  // not so where a metric has labels, and only its series add up
};

struct Buckets {
  PyObject_HEAD
  double sum;
  int size;  // 0 where only its series add up
  double bounds[kMostBounds], counts[kMostBounds];
};

inline PyTypeObject total_type, buckets_type;  // `ready` fills them in

inline Total* as_total(PyObject* object) { return reinterpret_cast<Total*>(object); }
inline Buckets* as_buckets(PyObject* object) { return reinterpret_cast<Buckets*>(object); }

inline PyObject* has_labels() { return PyErr_Format(PyExc_ValueError, "It has labels: `labels` gives a series of it."); }

// inc(amount=1)
inline PyObject* inc(PyObject* self, PyObject* const* args, Py_ssize_t given) {
  if (given > 1) return PyErr_Format(PyExc_TypeError, "inc(amount: float = 1)");
  const double amount = given ? PyFloat_AsDouble(args[0]) : 1.0;
  if (amount == -1.0 && PyErr_Occurred()) return nullptr;
  if (!as_total(self)->observable) return has_labels();
  if (amount < 0) return PyErr_Format(PyExc_ValueError, "A counter only goes up.");
  as_total(self)->total += amount;
  Py_RETURN_NONE;
}

// Count an amount in the first bucket whose bound is not below it.
inline void add(Buckets* to, double amount) {
  int at = 0;
  while (at < to->size - 1 && to->bounds[at] < amount) ++at;
  to->sum += amount;
  to->counts[at] += 1.0;
}

// observe(amount)
inline PyObject* observe(PyObject* self, PyObject* given) {
  const double amount = PyFloat_AsDouble(given);
  if (amount == -1.0 && PyErr_Occurred()) return nullptr;
  if (!as_buckets(self)->size) return has_labels();
  add(as_buckets(self), amount);
  Py_RETURN_NONE;
}

// bound_by(bounds): its series begins.
inline PyObject* bound_by(PyObject* self, PyObject* bounds) {
  Buckets* buckets = as_buckets(self);
  const Py_ssize_t size = PySequence_Size(bounds);
  if (size < 0) return nullptr;
  if (size < 1 || size > kMostBounds) return PyErr_Format(PyExc_ValueError, "1 to %d bounds", kMostBounds);
  for (int at = 0; at < size; ++at) {
    PyObject* bound = PySequence_GetItem(bounds, at);
    buckets->bounds[at] = bound ? PyFloat_AsDouble(bound) : -1.0;
    buckets->counts[at] = 0.0;
    Py_XDECREF(bound);
    if (PyErr_Occurred()) return nullptr;
  }
  buckets->sum = 0.0;
  buckets->size = static_cast<int>(size);
  Py_RETURN_NONE;
}

// The sum, and how many amounts each bucket holds.
inline PyObject* read_buckets(PyObject* self, PyObject*) {
  PyObject* counts = PyList_New(0);
  for (int at = 0; counts && at < as_buckets(self)->size; ++at) {
    PyObject* count = PyFloat_FromDouble(as_buckets(self)->counts[at]);
    if (!count || PyList_Append(counts, count) < 0) Py_CLEAR(counts);
    Py_XDECREF(count);
  }
  return counts ? Py_BuildValue("dN", as_buckets(self)->sum, counts) : nullptr;
}

inline PyMemberDef total_members[] = {
    {"total", T_DOUBLE, offsetof(Total, total), READONLY, nullptr},
    {"observable", T_BOOL, offsetof(Total, observable), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
inline PyMethodDef total_methods[] = {
    {"inc", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(inc)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
inline PyMethodDef buckets_methods[] = {
    {"observe", observe, METH_O, nullptr},
    {"bound_by", bound_by, METH_O, nullptr},
    {"read", read_buckets, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace amounts

// One trace as Python sees it: it begins, ends, is held by those who work for it, and is read.
#pragma once

#include "stage.hpp"

namespace steps {

constexpr Py_ssize_t kTraceparent = 55;  // characters: https://www.w3.org/TR/trace-context

// Steps.__init__(query_id, began=None, traceparent=b"", complete=None): the root.
inline int begin(PyObject* self, PyObject* args, PyObject* named) {
  static const char* names[] = {"query_id", "began", "traceparent", "complete", nullptr};
  PyObject *query_id = nullptr, *began = Py_None, *traceparent = nullptr, *complete = Py_None;
  char** keywords = const_cast<char**>(names);
  if (!PyArg_ParseTupleAndKeywords(args, named, "U|OSO", keywords, &query_id, &began, &traceparent, &complete)) return -1;
  const double at = began == Py_None ? now() : PyFloat_AsDouble(began);
  if (at == -1.0 && PyErr_Occurred()) return -1;
  Steps* trace = as_steps(self);
  if (trace->size) return PyErr_SetString(PyExc_RuntimeError, "it has begun"), -1;
  Py_XSETREF(trace->query_id, Py_NewRef(query_id));
  const bool given = traceparent && PyBytes_GET_SIZE(traceparent) == kTraceparent;  // others are not valid, or long
  Py_XSETREF(trace->traceparent, given ? Py_NewRef(traceparent) : PyBytes_FromStringAndSize(nullptr, 0));
  Py_XSETREF(trace->complete, complete == Py_None ? nullptr : Py_NewRef(complete));
  trace->all = trace->few;
  trace->capacity = kFew;
  trace->holds = 1;
  trace->kept = true;
  timespec clock;
  clock_gettime(CLOCK_REALTIME, &clock);
  trace->started_at = static_cast<double>(clock.tv_sec) + static_cast<double>(clock.tv_nsec) / 1e9;
  PyObject* name = PyUnicode_FromStringAndSize(nullptr, 0);
  const int root = name ? add(trace, name, -1, at, 0.0) : -1;
  Py_XDECREF(name);
  return root;
}

inline void free_steps(PyObject* self) {
  release(as_steps(self));
  Py_TYPE(self)->tp_free(self);
}

// False with an error where it was made without __init__.
inline bool begun(PyObject* self) {
  if (!as_steps(self)->size) PyErr_SetString(PyExc_RuntimeError, "it has not begun");
  return as_steps(self)->size > 0;
}

// What a root ended with: nothing, or the code among its attributes, else its status. Null with an error.
inline PyObject* ended_with(long status, PyObject* attributes) {
  if (status < 400) return PyUnicode_FromStringAndSize(nullptr, 0);
  PyObject* code = PyDict_GetItemString(attributes, "code");
  const int told = code ? PyObject_IsTrue(code) : 0;
  return told < 0 ? nullptr : told ? PyObject_Str(code) : PyUnicode_FromFormat("%ld", status);
}

// end(route, status, attributes, ended): the root has ended.
inline PyObject* close(PyObject* self, PyObject* const* args, Py_ssize_t given) {
  if (given != 4 || !PyUnicode_Check(args[0]) || !PyDict_Check(args[2])) {
    return PyErr_Format(PyExc_TypeError, "end(route: str, status: int, attributes: dict[str, Any], ended: float)");
  }
  const long status = PyLong_AsLong(args[1]);
  const double ended = PyErr_Occurred() ? 0.0 : PyFloat_AsDouble(args[3]);
  if (PyErr_Occurred() || !begun(self)) return nullptr;
  PyObject* error = ended_with(status, args[2]);
  Step& root = as_steps(self)->all[0];
  PyObject* both = error && root.attributes ? PyDict_Copy(root.attributes) : error ? Py_NewRef(args[2]) : nullptr;
  if (both && both != args[2] && PyDict_Update(both, args[2]) < 0) Py_CLEAR(both);
  if (!both) return Py_XDECREF(error), nullptr;
  as_steps(self)->status = static_cast<int>(status);
  root.ended = ended;
  Py_SETREF(root.name, Py_NewRef(args[0]));
  Py_XSETREF(root.error, error);
  Py_XSETREF(root.attributes, both);
  Py_RETURN_NONE;
}

// here(): this thread begins to work for it, at its root.
inline PyObject* work_here(PyObject* self, PyObject*) {
  PyObject* place = new_place(nullptr, &self, 1, nullptr);
  PyObject* token = place ? PyContextVar_Set(current, place) : nullptr;
  Py_XDECREF(place);
  return token;
}

inline PyObject* hold(PyObject* self, PyObject*) {
  ++as_steps(self)->holds;
  Py_RETURN_NONE;
}

// let_go(): the last one completes it.
inline PyObject* let_go(PyObject* self, PyObject*) {
  if (--as_steps(self)->holds) Py_RETURN_NONE;
  as_steps(self)->over = true;
  PyObject* complete = std::exchange(as_steps(self)->complete, nullptr);
  if (!complete) Py_RETURN_NONE;
  PyObject* done = PyObject_CallOneArg(complete, self);
  Py_DECREF(complete);
  return done;
}

// Count all steps below the root in the histogram.
inline PyObject* count_all(PyObject* self, PyObject*) {
  for (int at = 1; at < as_steps(self)->size && !as_steps(self)->live; ++at) {
    const Step& step = as_steps(self)->all[at];
    if (step.ended != 0.0 && !count(step.name, step.ended - step.began)) return nullptr;
  }
  Py_RETURN_NONE;
}

// All steps: (name, parent, began, ended, error, attributes).
inline PyObject* read(PyObject* self, PyObject*) {
  Steps* trace = as_steps(self);
  PyObject* found = PyList_New(0);
  for (int at = 0; found && at < trace->size; ++at) {
    const Step& step = trace->all[at];
    PyObject* error = step.error ? step.error : Py_None;
    PyObject* attributes = step.attributes ? step.attributes : Py_None;
    PyObject* row = Py_BuildValue("OiddOO", step.name, step.parent, step.began, step.ended, error, attributes);
    if (!row || PyList_Append(found, row) < 0) Py_CLEAR(found);
    Py_XDECREF(row);
  }
  return found;
}

inline Py_ssize_t length(PyObject* self) { return as_steps(self)->size; }

inline PyObject* began_at(PyObject* self, void*) {
  return begun(self) ? PyFloat_FromDouble(as_steps(self)->all[0].began) : nullptr;
}

inline PyObject* ended_at(PyObject* self, void*) {
  return begun(self) ? PyFloat_FromDouble(as_steps(self)->all[0].ended) : nullptr;
}

inline PyObject* query_id_of(PyObject* self, void*) { return Py_NewRef(trace_of(self)->query_id); }

inline PyObject* seconds_of(PyObject* self, void*) {
  if (!begun(self)) return nullptr;
  const Step& root = as_steps(self)->all[0];
  return PyFloat_FromDouble((root.ended != 0.0 ? root.ended : now()) - root.began);
}

inline PyObject* route_of(PyObject* self, void*) {
  return begun(self) ? Py_NewRef(as_steps(self)->all[0].name) : nullptr;
}

inline PyObject* has_failed(PyObject* self, void*) { return PyBool_FromLong(as_steps(self)->status >= 500); }

}  // namespace steps

// The steps of one trace, side by side in one piece of memory. Between two of them the encoder reads all its weights, and
// what was in the processor's caches is gone: what a step costs is how many places in memory it touches.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstring>
#include <utility>

namespace steps {

constexpr int kMost = 400;                // kept of one trace, the root among them
constexpr int kFew = 7;                   // room within: enough for an answer from the cache, four times it for a new one
constexpr Py_ssize_t kLongestText = 200;  // characters of an attribute

struct Step {
  PyObject *name, *error, *attributes;  // owned; the last two may be null
  double began, ended;                  // seconds of the monotonic clock; `ended` is 0 while it goes on
  int parent;                           // its place among the steps
};

struct Steps {
  PyObject_HEAD
  PyObject *query_id, *traceparent, *complete, *summed;  // owned; the last two may be null
  double started_at;                                     // seconds since 1970
  Step* all;                                             // the root first
  int size, capacity, status, holds;
  bool over;  // nothing is added any more
  bool live;  // each is counted in the histogram when it ends, not all of them at the end
  bool kept;
  Step few[kFew];
};

inline Steps* as_steps(PyObject* object) { return reinterpret_cast<Steps*>(object); }

// Make room for more. False with an error.
inline bool grow(Steps* trace) {
  const int wanted = 4 * trace->capacity;
  void* before = trace->all == trace->few ? nullptr : trace->all;
  void* grown = PyMem_Realloc(before, sizeof(Step) * wanted);
  if (!grown) return PyErr_NoMemory(), false;
  if (!before) std::memcpy(grown, trace->few, sizeof trace->few);
  trace->all = static_cast<Step*>(grown);
  trace->capacity = wanted;
  return true;
}

// Add a step. Returns its place, or -1: there are too many, it is over, or (with an error) there is no memory.
inline int add(Steps* trace, PyObject* name, int parent, double began, double ended) {
  if (trace->over || trace->size >= kMost) return -1;
  if (trace->size == trace->capacity && !grow(trace)) return -1;
  trace->all[trace->size] = {Py_NewRef(name), nullptr, nullptr, began, ended, parent};
  return trace->size++;
}

inline void release(Steps* trace) {
  for (int at = 0; at < trace->size; ++at) {
    Step& step = trace->all[at];
    Py_CLEAR(step.name);
    Py_CLEAR(step.error);
    Py_CLEAR(step.attributes);
  }
  trace->size = 0;
  if (trace->all != trace->few) PyMem_Free(trace->all);
  Py_CLEAR(trace->query_id);
  Py_CLEAR(trace->traceparent);
  Py_CLEAR(trace->complete);
  Py_CLEAR(trace->summed);
}

// Attributes as they are kept: those that are None left out, long texts cut. Null with an error.
inline PyObject* kept_of(PyObject* given) {
  PyObject *kept = PyDict_New(), *name = nullptr, *value = nullptr;
  for (Py_ssize_t at = 0; kept && PyDict_Next(given, &at, &name, &value);) {
    if (value == Py_None) continue;
    const bool cut = PyUnicode_Check(value) && PyUnicode_GetLength(value) > kLongestText;
    PyObject* shown = cut ? PyUnicode_Substring(value, 0, kLongestText) : Py_NewRef(value);
    if (!shown || PyDict_SetItem(kept, name, shown) < 0) Py_CLEAR(kept);
    Py_XDECREF(shown);
  }
  return kept;
}

// Add attributes to a step; the dict that it has stays as it is, others may hold it. False with an error.
inline bool annotate(Step& step, PyObject* given) {
  PyObject* kept = kept_of(given);
  if (kept && step.attributes) {
    PyObject* both = PyDict_Copy(step.attributes);
    if (both && PyDict_Update(both, kept) < 0) Py_CLEAR(both);
    Py_SETREF(kept, both);
  }
  if (kept) Py_XSETREF(step.attributes, kept);
  return kept != nullptr;
}

// The stable code of an error of ours, else the name of its class. Null with an error.
inline PyObject* code_of(PyObject* error) {
  PyObject* code = PyObject_GetAttrString(error, "code");
  if (!code) PyErr_Clear();
  const int told = code ? PyObject_IsTrue(code) : 0;
  PyObject* text = told < 0 ? nullptr : told ? PyObject_Str(code) : PyType_GetName(Py_TYPE(error));
  Py_XDECREF(code);
  return text;
}

}  // namespace steps

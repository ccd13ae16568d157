// What threads do with a trace: where each of them is, and the stages that it enters and leaves.
#pragma once

#include "amounts.hpp"
#include "steps.hpp"

#include <ctime>

namespace steps {

inline PyObject* current = nullptr;   // the context variable: where this thread is, a Place or None
inline PyObject* observed = nullptr;  // by the name of a stage: the Buckets for its seconds; None: nobody counts them

// Where a thread is in a trace.
struct Place {
  PyObject_HEAD
  PyObject* trace;
  int at;
};

// A step of a thread, as a context manager. `at` is its place, -1 when it is not among the steps.
struct Stage {
  PyObject_HEAD
  PyObject *name, *ms, *place;
  double began;
  int at;
};

inline PyTypeObject steps_type, place_type, stage_type;  // `ready` fills them in

inline Place* as_place(PyObject* object) { return reinterpret_cast<Place*>(object); }
inline Stage* as_stage(PyObject* object) { return reinterpret_cast<Stage*>(object); }
inline Steps* trace_of(PyObject* place) { return as_steps(as_place(place)->trace); }

// time.perf_counter(), to the last digit.
inline double now() {
  timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<double>(at.tv_sec * 1000000000LL + at.tv_nsec) / 1e9;
}

// The place of this thread, a new reference; null where it works for no trace, or with an error.
inline PyObject* here() {
  PyObject* found = nullptr;
  if (PyContextVar_Get(current, nullptr, &found) < 0) return nullptr;
  if (found && Py_TYPE(found) != &place_type) Py_CLEAR(found);
  return found;
}

// Have the seconds of a stage counted. False with an error.
inline bool count(PyObject* name, double seconds) {
  if (observed == Py_None) return true;
  PyObject* series = PyObject_GetItem(observed, name);
  if (!series) return false;
  const bool well = PyObject_TypeCheck(series, &amounts::buckets_type);
  if (well) {
    amounts::add(amounts::as_buckets(series), seconds);
  } else {
    PyErr_SetString(PyExc_TypeError, "observers are Buckets");
  }
  Py_DECREF(series);
  return well;
}

// A step that is not among the steps of a trace is counted at once, and summed up by the trace. False with an error.
inline bool left_out(PyObject* place, PyObject* name, double seconds) {
  if (PyErr_Occurred() || !count(name, seconds)) return false;
  if (!place || trace_of(place)->over) return true;
  PyObject* amount = PyFloat_FromDouble(seconds);
  PyObject* sum_up = PyUnicode_InternFromString("sum_up");
  PyObject* done =
      amount && sum_up ? PyObject_CallMethodObjArgs(as_place(place)->trace, sum_up, name, amount, nullptr) : nullptr;
  Py_XDECREF(sum_up);
  Py_XDECREF(amount);
  Py_XDECREF(done);
  return done != nullptr;
}

// Add seconds to the milliseconds of a stage. False with an error.
inline bool add_up(PyObject* ms, PyObject* name, double seconds) {
  PyObject* before = PyDict_GetItemWithError(ms, name);
  if (!before && PyErr_Occurred()) return false;
  PyObject* after = PyFloat_FromDouble((before ? PyFloat_AsDouble(before) : 0.0) + seconds * 1000);
  const bool well = after && PyDict_SetItem(ms, name, after) == 0;
  Py_XDECREF(after);
  return well;
}

inline PyObject* enter(PyObject* self, PyObject*) {
  Stage* stage = as_stage(self);
  Py_XSETREF(stage->place, here());
  stage->began = now();
  stage->at = -1;
  if (stage->place) {
    Place* place = as_place(stage->place);
    stage->at = add(as_steps(place->trace), stage->name, place->at, stage->began, 0.0);
    if (stage->at >= 0) place->at = stage->at;
  }
  return PyErr_Occurred() ? nullptr : Py_NewRef(self);
}

// Its end among the steps. False with an error.
inline bool end(Stage* stage, double ended, PyObject* error) {
  Place* place = as_place(stage->place);
  Step& step = as_steps(place->trace)->all[stage->at];
  step.ended = ended;
  place->at = step.parent;
  if (as_steps(place->trace)->live && !count(stage->name, ended - stage->began)) return false;
  if (error == Py_None) return true;
  PyObject* code = code_of(error);  // may run other code, and steps be added: `step` may have moved
  Py_XSETREF(as_steps(place->trace)->all[stage->at].error, code);
  return code != nullptr;
}

inline PyObject* leave(PyObject* self, PyObject* const* args, Py_ssize_t given) {
  if (given != 3) return PyErr_Format(PyExc_TypeError, "__exit__ takes three arguments");
  Stage* stage = as_stage(self);
  const double ended = now(), seconds = ended - stage->began;
  const bool well = stage->at >= 0 ? end(stage, ended, args[1]) : left_out(stage->place, stage->name, seconds);
  if (!well || (stage->ms && !add_up(stage->ms, stage->name, seconds))) return nullptr;
  Py_RETURN_NONE;
}

// stage(name, ms=None)
inline PyObject* new_stage(PyObject*, PyObject* const* args, size_t counted, PyObject* names) {
  const Py_ssize_t given = PyVectorcall_NARGS(counted);
  const bool timed = given == 2 && args[1] != Py_None;
  if (names || given < 1 || given > 2 || !PyUnicode_Check(args[0]) || (timed && !PyDict_Check(args[1]))) {
    return PyErr_Format(PyExc_TypeError, "stage(name: str, ms: dict[str, float] | None = None)");
  }
  Stage* stage = PyObject_New(Stage, &stage_type);
  if (!stage) return nullptr;
  stage->name = Py_NewRef(args[0]);
  stage->ms = timed ? Py_NewRef(args[1]) : nullptr;
  stage->place = nullptr;
  stage->at = -1;
  return reinterpret_cast<PyObject*>(stage);
}

inline void free_stage(PyObject* self) {
  Py_XDECREF(as_stage(self)->name);
  Py_XDECREF(as_stage(self)->ms);
  Py_XDECREF(as_stage(self)->place);
  PyObject_Free(self);
}

// record(name, began, ended, **attributes)
inline PyObject* record(PyObject*, PyObject* args, PyObject* attributes) {
  PyObject* name = nullptr;
  double began = 0.0, ended = 0.0;
  if (!PyArg_ParseTuple(args, "Udd", &name, &began, &ended)) return nullptr;
  PyObject* place = here();
  Steps* trace = place ? trace_of(place) : nullptr;
  const int at = trace ? add(trace, name, as_place(place)->at, began, ended) : -1;
  bool well = at < 0 ? left_out(place, name, ended - began) : !trace->live || count(name, ended - began);
  if (well && at >= 0 && attributes) well = annotate(trace->all[at], attributes);
  Py_XDECREF(place);
  if (!well) return nullptr;
  Py_RETURN_NONE;
}

// note(**attributes)
inline PyObject* note(PyObject*, PyObject* args, PyObject* attributes) {
  if (PyTuple_GET_SIZE(args)) return PyErr_Format(PyExc_TypeError, "attributes have names");
  PyObject* place = here();
  const bool wanted = place && attributes && !trace_of(place)->over;
  const bool well = wanted ? annotate(trace_of(place)->all[as_place(place)->at], attributes) : !PyErr_Occurred();
  Py_XDECREF(place);
  if (!well) return nullptr;
  Py_RETURN_NONE;
}

inline PyObject* observe_with(PyObject*, PyObject* observers) {
  Py_XSETREF(observed, Py_NewRef(observers));
  Py_RETURN_NONE;
}

// Place(trace, at=0)
inline PyObject* new_place(PyObject*, PyObject* const* args, size_t counted, PyObject* names) {
  const Py_ssize_t given = PyVectorcall_NARGS(counted);
  if (names || given < 1 || given > 2 || !PyObject_TypeCheck(args[0], &steps_type)) {
    return PyErr_Format(PyExc_TypeError, "Place(trace: Steps, at: int = 0)");
  }
  const long at = given == 2 ? PyLong_AsLong(args[1]) : 0;
  if (at == -1 && PyErr_Occurred()) return nullptr;
  if (at < 0 || at >= as_steps(args[0])->size) return PyErr_Format(PyExc_ValueError, "there is no such step");
  Place* place = PyObject_New(Place, &place_type);
  if (!place) return nullptr;
  place->trace = Py_NewRef(args[0]);
  place->at = static_cast<int>(at);
  return reinterpret_cast<PyObject*>(place);
}

inline void free_place(PyObject* self) {
  Py_DECREF(as_place(self)->trace);
  PyObject_Free(self);
}

}  // namespace steps

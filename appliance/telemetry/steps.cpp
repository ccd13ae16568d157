// The steps of questions and tasks, timed and put down. steps.pyi says what is here, tracing.py and stages.py what for.
#include "steps.hpp"

#include <structmember.h>

#include <ctime>

namespace {

using steps::add, steps::as_steps, steps::Step, steps::Steps;

PyObject* current = nullptr;   // the context variable: where this thread is, a Place or None
PyObject* observed = nullptr;  // what takes the seconds of a stage, by its name; None: nobody

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

PyTypeObject steps_type, place_type, stage_type;  // `ready` fills them in

Place* as_place(PyObject* object) { return reinterpret_cast<Place*>(object); }
Stage* as_stage(PyObject* object) { return reinterpret_cast<Stage*>(object); }
Steps* trace_of(PyObject* place) { return as_steps(as_place(place)->trace); }

// time.perf_counter(), to the last digit.
double now() {
  timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<double>(at.tv_sec * 1000000000LL + at.tv_nsec) / 1e9;
}

// The place of this thread, a new reference; null where it works for no trace, or with an error.
PyObject* here() {
  PyObject* found = nullptr;
  if (PyContextVar_Get(current, nullptr, &found) < 0) return nullptr;
  if (found && Py_TYPE(found) != &place_type) Py_CLEAR(found);
  return found;
}

// Have the seconds of a stage counted. False with an error.
bool count(PyObject* name, double seconds) {
  if (observed == Py_None) return true;
  PyObject* observe = PyObject_GetItem(observed, name);
  PyObject* amount = observe ? PyFloat_FromDouble(seconds) : nullptr;
  PyObject* done = amount ? PyObject_CallOneArg(observe, amount) : nullptr;
  Py_XDECREF(observe);
  Py_XDECREF(amount);
  Py_XDECREF(done);
  return done != nullptr;
}

// A step that is not among the steps of a trace is counted at once, and summed up by the trace. False with an error.
bool left_out(PyObject* place, PyObject* name, double seconds) {
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
bool add_up(PyObject* ms, PyObject* name, double seconds) {
  PyObject* before = PyDict_GetItemWithError(ms, name);
  if (!before && PyErr_Occurred()) return false;
  PyObject* after = PyFloat_FromDouble((before ? PyFloat_AsDouble(before) : 0.0) + seconds * 1000);
  const bool well = after && PyDict_SetItem(ms, name, after) == 0;
  Py_XDECREF(after);
  return well;
}

PyObject* enter(PyObject* self, PyObject*) {
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
bool end(Stage* stage, double ended, PyObject* error) {
  Place* place = as_place(stage->place);
  Step& step = as_steps(place->trace)->all[stage->at];
  step.ended = ended;
  place->at = step.parent;
  if (as_steps(place->trace)->live && !count(stage->name, ended - stage->began)) return false;
  if (error == Py_None) return true;
  PyObject* code = steps::code_of(error);  // may run other code, and steps be added: `step` may have moved
  Py_XSETREF(as_steps(place->trace)->all[stage->at].error, code);
  return code != nullptr;
}

PyObject* leave(PyObject* self, PyObject* const* args, Py_ssize_t given) {
  if (given != 3) return PyErr_Format(PyExc_TypeError, "__exit__ takes three arguments");
  Stage* stage = as_stage(self);
  const double ended = now(), seconds = ended - stage->began;
  const bool well = stage->at >= 0 ? end(stage, ended, args[1]) : left_out(stage->place, stage->name, seconds);
  if (!well || (stage->ms && !add_up(stage->ms, stage->name, seconds))) return nullptr;
  Py_RETURN_NONE;
}

// stage(name, ms=None)
PyObject* new_stage(PyObject*, PyObject* const* args, size_t counted, PyObject* names) {
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

void free_stage(PyObject* self) {
  Py_XDECREF(as_stage(self)->name);
  Py_XDECREF(as_stage(self)->ms);
  Py_XDECREF(as_stage(self)->place);
  PyObject_Free(self);
}

// record(name, began, ended, **attributes)
PyObject* record(PyObject*, PyObject* args, PyObject* attributes) {
  PyObject* name = nullptr;
  double began = 0.0, ended = 0.0;
  if (!PyArg_ParseTuple(args, "Udd", &name, &began, &ended)) return nullptr;
  PyObject* place = here();
  Steps* trace = place ? trace_of(place) : nullptr;
  const int at = trace ? add(trace, name, as_place(place)->at, began, ended) : -1;
  bool well = at < 0 ? left_out(place, name, ended - began) : !trace->live || count(name, ended - began);
  if (well && at >= 0 && attributes) well = steps::annotate(trace->all[at], attributes);
  Py_XDECREF(place);
  if (!well) return nullptr;
  Py_RETURN_NONE;
}

// note(**attributes)
PyObject* note(PyObject*, PyObject* args, PyObject* attributes) {
  if (PyTuple_GET_SIZE(args)) return PyErr_Format(PyExc_TypeError, "attributes have names");
  PyObject* place = here();
  const bool wanted = place && attributes && !trace_of(place)->over;
  const bool well = wanted ? steps::annotate(trace_of(place)->all[as_place(place)->at], attributes) : !PyErr_Occurred();
  Py_XDECREF(place);
  if (!well) return nullptr;
  Py_RETURN_NONE;
}

PyObject* observe_with(PyObject*, PyObject* observers) {
  Py_XSETREF(observed, Py_NewRef(observers));
  Py_RETURN_NONE;
}

// Place(trace, at=0)
PyObject* new_place(PyObject*, PyObject* const* args, size_t counted, PyObject* names) {
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

void free_place(PyObject* self) {
  Py_DECREF(as_place(self)->trace);
  PyObject_Free(self);
}

// Steps.__init__(query_id, began): the root.
int begin(PyObject* self, PyObject* args, PyObject*) {
  PyObject* query_id = nullptr;
  double began = 0.0;
  if (!PyArg_ParseTuple(args, "Ud", &query_id, &began)) return -1;
  Steps* trace = as_steps(self);
  if (trace->size) return PyErr_SetString(PyExc_RuntimeError, "it has begun"), -1;
  Py_XSETREF(trace->query_id, Py_NewRef(query_id));
  PyObject* name = PyUnicode_FromStringAndSize(nullptr, 0);
  const int at = name ? add(trace, name, -1, began, 0.0) : -1;
  Py_XDECREF(name);
  return at;
}

void free_steps(PyObject* self) {
  steps::release(as_steps(self));
  Py_TYPE(self)->tp_free(self);
}

// False with an error where it was made without __init__.
bool begun(PyObject* self) {
  if (!as_steps(self)->size) PyErr_SetString(PyExc_RuntimeError, "it has not begun");
  return as_steps(self)->size > 0;
}

// close(name, ended, error, attributes): the root has ended.
PyObject* close(PyObject* self, PyObject* args) {
  PyObject *name = nullptr, *error = nullptr, *attributes = nullptr;
  double ended = 0.0;
  if (!PyArg_ParseTuple(args, "UdUO!", &name, &ended, &error, &PyDict_Type, &attributes)) return nullptr;
  if (!begun(self)) return nullptr;
  Step& root = as_steps(self)->all[0];
  Py_SETREF(root.name, Py_NewRef(name));
  Py_XSETREF(root.error, Py_NewRef(error));
  root.ended = ended;
  if (!root.attributes) {
    root.attributes = Py_NewRef(attributes);
  } else {
    PyObject* both = PyDict_Copy(root.attributes);
    if (!both || PyDict_Update(both, attributes) < 0) return Py_XDECREF(both), nullptr;
    Py_SETREF(root.attributes, both);
  }
  Py_RETURN_NONE;
}

// Count all steps below the root in the histogram.
PyObject* count_all(PyObject* self, PyObject*) {
  for (int at = 1; at < as_steps(self)->size && !as_steps(self)->live; ++at) {
    const Step& step = as_steps(self)->all[at];
    if (step.ended != 0.0 && !count(step.name, step.ended - step.began)) return nullptr;
  }
  Py_RETURN_NONE;
}

// All steps: (name, parent, began, ended, error, attributes).
PyObject* read(PyObject* self, PyObject*) {
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

Py_ssize_t length(PyObject* self) { return as_steps(self)->size; }

PyObject* began_at(PyObject* self, void*) {
  return begun(self) ? PyFloat_FromDouble(as_steps(self)->all[0].began) : nullptr;
}

PyObject* ended_at(PyObject* self, void*) {
  return begun(self) ? PyFloat_FromDouble(as_steps(self)->all[0].ended) : nullptr;
}

PyObject* query_id_of(PyObject* self, void*) { return Py_NewRef(trace_of(self)->query_id); }

PyCFunction fast(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyCFunction named(PyObject* (*function)(PyObject*, PyObject*, PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMemberDef steps_members[] = {
    {"query_id", T_OBJECT_EX, offsetof(Steps, query_id), READONLY, nullptr},
    {"over", T_BOOL, offsetof(Steps, over), 0, nullptr},
    {"live", T_BOOL, offsetof(Steps, live), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef steps_properties[] = {
    {"began", began_at, nullptr, nullptr, nullptr},
    {"ended", ended_at, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyMethodDef steps_methods[] = {
    {"close", close, METH_VARARGS, nullptr},
    {"count", count_all, METH_NOARGS, nullptr},
    {"read", read, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PySequenceMethods steps_sequence{};
PyMemberDef place_members[] = {
    {"trace", T_OBJECT_EX, offsetof(Place, trace), READONLY, nullptr},
    {"at", T_INT, offsetof(Place, at), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef place_properties[] = {
    {"query_id", query_id_of, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyMethodDef stage_methods[] = {
    {"__enter__", enter, METH_NOARGS, nullptr},
    {"__exit__", fast(leave), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyMethodDef functions[] = {
    {"record", named(record), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"note", named(note), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"observe_with", observe_with, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "steps", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

void describe(PyTypeObject& type, const char* name, Py_ssize_t size, destructor free, PyMethodDef* methods) {
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);
  type.tp_name = name;
  type.tp_basicsize = size;
  type.tp_dealloc = free;
  type.tp_methods = methods;
  type.tp_flags = Py_TPFLAGS_DEFAULT;
}

bool ready() {
  describe(steps_type, "appliance.telemetry.steps.Steps", sizeof(Steps), free_steps, steps_methods);
  steps_type.tp_flags |= Py_TPFLAGS_BASETYPE;
  steps_type.tp_new = PyType_GenericNew;
  steps_type.tp_init = begin;
  steps_type.tp_members = steps_members;
  steps_type.tp_getset = steps_properties;
  steps_sequence.sq_length = length;
  steps_type.tp_as_sequence = &steps_sequence;
  describe(place_type, "appliance.telemetry.steps.Place", sizeof(Place), free_place, nullptr);
  place_type.tp_vectorcall = new_place;
  place_type.tp_members = place_members;
  place_type.tp_getset = place_properties;
  describe(stage_type, "appliance.telemetry.steps.stage", sizeof(Stage), free_stage, stage_methods);
  stage_type.tp_vectorcall = new_stage;
  current = PyContextVar_New("place", Py_None);
  observed = PyDict_New();
  for (PyTypeObject* type : {&steps_type, &place_type, &stage_type}) {
    if (PyType_Ready(type) < 0) return false;
  }
  return current && observed;
}

}  // namespace

PyMODINIT_FUNC PyInit_steps() {
  PyObject* module = ready() ? PyModule_Create(&definition) : nullptr;
  const bool well = module && PyModule_AddObjectRef(module, "CURRENT", current) == 0 &&
                    PyModule_AddIntConstant(module, "MOST_STEPS", steps::kMost) == 0 &&
                    PyModule_AddType(module, &steps_type) == 0 && PyModule_AddType(module, &place_type) == 0 &&
                    PyModule_AddType(module, &stage_type) == 0;
  if (!well) Py_CLEAR(module);
  return module;
}

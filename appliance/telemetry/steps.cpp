// The steps of questions and tasks, timed and put down. steps.pyi says what is here, tracing.py and stages.py what for.
#include "stage.hpp"

#include <structmember.h>

namespace {

using namespace steps;

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
  release(as_steps(self));
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

PyObject* seconds_of(PyObject* self, void*) {
  if (!begun(self)) return nullptr;
  const Step& root = as_steps(self)->all[0];
  return PyFloat_FromDouble((root.ended != 0.0 ? root.ended : now()) - root.began);
}

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
    {"seconds", seconds_of, nullptr, nullptr, nullptr},
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
                    PyModule_AddIntConstant(module, "MOST_STEPS", kMost) == 0 &&
                    PyModule_AddIntConstant(module, "MOST_UNCOUNTED", kMostUncounted) == 0 &&
                    PyModule_AddType(module, &steps_type) == 0 && PyModule_AddType(module, &place_type) == 0 &&
                    PyModule_AddType(module, &stage_type) == 0;
  if (!well) Py_CLEAR(module);
  return module;
}

// The steps of questions and tasks, timed and put down. steps.pyi says what is here, tracing.py and stages.py what for.
#include "trace.hpp"

namespace {

using namespace steps;

PyCFunction fast(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyCFunction named(PyObject* (*function)(PyObject*, PyObject*, PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMemberDef steps_members[] = {
    {"query_id", T_OBJECT_EX, offsetof(Steps, query_id), READONLY, nullptr},
    {"traceparent", T_OBJECT_EX, offsetof(Steps, traceparent), READONLY, nullptr},
    {"summed", T_OBJECT, offsetof(Steps, summed), 0, nullptr},
    {"started_at", T_DOUBLE, offsetof(Steps, started_at), READONLY, nullptr},
    {"status", T_INT, offsetof(Steps, status), 0, nullptr},
    {"hold_count", T_INT, offsetof(Steps, holds), READONLY, nullptr},
    {"over", T_BOOL, offsetof(Steps, over), READONLY, nullptr},
    {"live", T_BOOL, offsetof(Steps, live), 0, nullptr},
    {"kept", T_BOOL, offsetof(Steps, kept), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef steps_properties[] = {
    {"route", route_of, nullptr, nullptr, nullptr},
    {"failed", has_failed, nullptr, nullptr, nullptr},
    {"began", began_at, nullptr, nullptr, nullptr},
    {"ended", ended_at, nullptr, nullptr, nullptr},
    {"seconds", seconds_of, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyMethodDef steps_methods[] = {
    {"here", work_here, METH_NOARGS, nullptr},
    {"end", fast(close), METH_FASTCALL, nullptr},
    {"hold", hold, METH_NOARGS, nullptr},
    {"let_go", let_go, METH_NOARGS, nullptr},
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

// Types of which a class with a metric's name, help and labels is made.
void describe_amounts() {
  describe(amounts::total_type, "appliance.telemetry.steps.Total", sizeof(amounts::Total), nullptr, amounts::total_methods);
  amounts::total_type.tp_members = amounts::total_members;
  describe(
      amounts::buckets_type, "appliance.telemetry.steps.Buckets", sizeof(amounts::Buckets), nullptr,
      amounts::buckets_methods);
  for (PyTypeObject* type : {&amounts::total_type, &amounts::buckets_type}) {
    type->tp_flags |= Py_TPFLAGS_BASETYPE;
    type->tp_new = PyType_GenericNew;
  }
}

bool ready() {
  describe_amounts();
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
  for (PyTypeObject* type : {&steps_type, &place_type, &stage_type, &amounts::total_type, &amounts::buckets_type}) {
    if (PyType_Ready(type) < 0) return false;
  }
  return current && observed;
}

}  // namespace

PyMODINIT_FUNC PyInit_steps() {
  PyObject* module = ready() ? PyModule_Create(&definition) : nullptr;
  const bool well = module && PyModule_AddObjectRef(module, "CURRENT", current) == 0 &&
                    PyModule_AddIntConstant(module, "MOST_STEPS", kMost) == 0 &&
                    PyModule_AddType(module, &steps_type) == 0 && PyModule_AddType(module, &place_type) == 0 &&
                    PyModule_AddType(module, &stage_type) == 0 &&
                    PyModule_AddType(module, &amounts::total_type) == 0 &&
                    PyModule_AddType(module, &amounts::buckets_type) == 0;
  if (!well) Py_CLEAR(module);
  return module;
}

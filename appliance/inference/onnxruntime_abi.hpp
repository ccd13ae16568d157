// What an operator of our own needs of onnxruntime's C interface, whose headers its Python wheel does not ship.
//
// The interface is a table of functions to which only the end is ever added, so a function keeps its place, and an
// operator is a structure with the version it was written for, of which a later library reads what that version had.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ort {

constexpr uint32_t VERSION = 16;  // of the interface: the first whose operators give their errors back

enum Type : int { FLOAT = 1, UINT8 = 2, INT64 = 7 };

struct Status;   // an error; null where there is none
struct Info;     // of a node, while its kernel is made
struct Context;  // of one run of a kernel
struct Value;
struct Shape;
struct Domain;
struct Options;
struct Operator;

struct Api {
  const void* places[102];  // those of the first version

  template <size_t place, typename Result, typename... Arguments>
  Result call(Arguments... arguments) const {
    static_assert(place < 102);
    return reinterpret_cast<Result (*)(Arguments...)>(const_cast<void*>(places[place]))(arguments...);
  }
  Status* failure(const char* why) const { return call<0, Status*>(1, why); }
  Status* create_domain(const char* name, Domain** made) const { return call<26, Status*>(name, made); }
  Status* add(Domain* to, const Operator* one) const { return call<27, Status*>(to, one); }
  Status* add(Options* to, Domain* domain) const { return call<28, Status*>(to, domain); }
  Status* data(Value* of, void** found) const { return call<51, Status*>(of, found); }
  Status* rank(const Shape* of, size_t* found) const { return call<61, Status*>(of, found); }
  Status* dimensions(const Shape* of, int64_t* found, size_t rank) const { return call<62, Status*>(of, found, rank); }
  Status* elements(const Shape* of, size_t* found) const { return call<64, Status*>(of, found); }
  Status* shape(const Value* of, Shape** found) const { return call<65, Status*>(of, found); }
  Status* attribute(const Info* of, const char* name, float* found) const { return call<85, Status*>(of, name, found); }
  Status* input(const Context* of, size_t index, const Value** found) const {
    return call<90, Status*>(of, index, found);
  }
  Status* output(Context* of, size_t index, const int64_t* dims, size_t rank, Value** made) const {
    return call<91, Status*>(of, index, dims, rank, made);
  }
  void release(Shape* shape) const { call<99, void>(shape); }
};

struct ApiBase {
  const Api* (*api)(uint32_t version);
  const char* (*version)();
};

struct Operator {
  uint32_t version = VERSION;
  void* (*create)(const Operator*, const Api*, const Info*) = nullptr;
  const char* (*name)(const Operator*) = nullptr;
  const char* (*provider)(const Operator*) = nullptr;
  Type (*input_type)(const Operator*, size_t) = nullptr;
  size_t (*inputs)(const Operator*) = nullptr;
  Type (*output_type)(const Operator*, size_t) = nullptr;
  size_t (*outputs)(const Operator*) = nullptr;
  void (*compute)(void*, Context*) = nullptr;
  void (*destroy)(void*) = nullptr;
  int (*input_kind)(const Operator*, size_t) = nullptr;
  int (*output_kind)(const Operator*, size_t) = nullptr;
  int (*input_memory)(const Operator*, size_t) = nullptr;
  int (*least_inputs)(const Operator*) = nullptr;
  int (*inputs_alike)(const Operator*) = nullptr;
  int (*least_outputs)(const Operator*) = nullptr;
  int (*outputs_alike)(const Operator*) = nullptr;
  Status* (*create_or_fail)(const Operator*, const Api*, const Info*, void**) = nullptr;
  Status* (*compute_or_fail)(void*, Context*) = nullptr;
  const void* later[8] = {};  // of versions after this one
};

}  // namespace ort

// An operator of onnxruntime from a class with NAME, INPUTS, OUTPUTS, a constructor from Attributes and a call on a Run.
#pragma once

#include <iterator>
#include <new>
#include <vector>

#include "onnxruntime_abi.hpp"

namespace ort {

using Dims = std::vector<int64_t>;

// Keeps the first error; what comes after it is not tried.
class Careful {
 public:
  explicit Careful(const Api& api) : api_(api) {}
  void require(bool holds, const char* why) {
    if (!error_ && !holds) error_ = api_.failure(why);
  }
  Status* error() const { return error_; }

 protected:
  template <typename Call>
  bool tried(Call call) {
    if (!error_) error_ = call();
    return !error_;
  }
  const Api& api_;
  Status* error_ = nullptr;
};

class Attributes : public Careful {
 public:
  Attributes(const Api& api, const Info* info) : Careful(api), info_(info) {}
  float number(const char* name) {
    float found = 0;
    tried([&] { return api_.attribute(info_, name, &found); });
    return found;
  }

 private:
  const Info* info_;
};

// The inputs and outputs of one run. Pointers are null after an error.
class Run : public Careful {
 public:
  Run(const Api& api, Context* context) : Careful(api), context_(context) {}

  Dims dims(size_t index) {
    Dims found;
    with_shape(index, [&](const Shape* shape) {
      size_t rank = 0;
      if (tried([&] { return api_.rank(shape, &rank); })) {
        found.resize(rank);
        tried([&] { return api_.dimensions(shape, found.data(), rank); });
      }
    });
    return found;
  }
  template <typename T>
  const T* input(size_t index, size_t expected) {
    size_t elements = 0;
    with_shape(index, [&](const Shape* shape) { tried([&] { return api_.elements(shape, &elements); }); });
    require(elements == expected, "an input has not as many elements as the others ask for");
    return static_cast<const T*>(data(const_cast<Value*>(value(index))));
  }
  template <typename T>
  T* output(size_t index, const Dims& dims) {
    Value* made = nullptr;
    tried([&] { return api_.output(context_, index, dims.data(), dims.size(), &made); });
    return static_cast<T*>(data(made));
  }

 private:
  const Value* value(size_t index) {
    const Value* found = nullptr;
    tried([&] { return api_.input(context_, index, &found); });
    return found;
  }
  void* data(Value* of) {
    void* found = nullptr;
    tried([&] { return api_.data(of, &found); });
    return found;
  }
  template <typename Read>
  void with_shape(size_t index, Read read) {
    const Value* of = value(index);
    Shape* shape = nullptr;
    if (!tried([&] { return api_.shape(of, &shape); })) return;
    read(shape);
    api_.release(shape);
  }
  Context* context_;
};

template <typename Kernel>
struct Custom : Operator {
  struct Held {
    const Api& api;
    Kernel kernel;
  };

  Custom() {
    name = [](const Operator*) { return Kernel::NAME; };
    provider = [](const Operator*) { return "CPUExecutionProvider"; };
    input_type = [](const Operator*, size_t index) { return Kernel::INPUTS[index]; };
    inputs = [](const Operator*) { return std::size(Kernel::INPUTS); };
    output_type = [](const Operator*, size_t index) { return Kernel::OUTPUTS[index]; };
    outputs = [](const Operator*) { return std::size(Kernel::OUTPUTS); };
    input_kind = output_kind = [](const Operator*, size_t) { return 0; };  // required
    input_memory = [](const Operator*, size_t) { return 0; };              // the processor's
    create_or_fail = create_kernel;
    compute_or_fail = compute_kernel;
    destroy = [](void* held) { delete static_cast<Held*>(held); };
  }

 private:
  static Status* create_kernel(const Operator*, const Api* api, const Info* info, void** made) {
    Attributes attributes(*api, info);
    *made = new (std::nothrow) Held{*api, Kernel(attributes)};
    attributes.require(*made, "no memory is left");
    return attributes.error();
  }
  static Status* compute_kernel(void* of, Context* context) {
    const Held* held = static_cast<Held*>(of);
    Run run(held->api, context);
    try {
      held->kernel(run);
    } catch (const std::bad_alloc&) {
      run.require(false, "no memory is left");
    }
    return run.error();
  }
};

}  // namespace ort

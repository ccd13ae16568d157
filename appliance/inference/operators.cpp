// Operators of our own for onnxruntime: what stands between the integer products of a BERT layer, a row at a time.
//
// onnxruntime's own take five passes over a tensor to quantise it, and more to add, scale and normalise. The products
// stay with its kernels. models/integer_graph.py writes the graphs.
#include <pybind11/pybind11.h>

#include "custom_operator.hpp"

#include "attention.hpp"
#include "rows.hpp"

namespace {

using ort::Dims;
using ort::FLOAT;
using ort::INT64;
using ort::Run;
using ort::UINT8;
using rows::Floats;
using rows::LANES;
using rows::larger;
using rows::load;
using rows::magnitude;
using rows::store;

ROWS_FOR_EACH_PROCESSOR void quantise(const float* x, size_t count, size_t n, uint8_t* bytes, float* ranges) {
  for (size_t row = 0; row < count; ++row, x += n, bytes += n) {
    Floats most{};
    for (size_t at = 0; at < n; at += LANES) most = larger(most, magnitude(load(x + at)));
    rows::quantise(x, n, most, bytes, ranges + row);
  }
}

// A dense layer's output: products (count, n) divided by scales (count), and bias (n).
struct Dense {
  size_t count, n;
  const float *products, *scales, *bias;

  ROWS_INLINE Floats at(size_t row, size_t column) const {
    return load(products + row * n + column) * scales[row] + load(bias + column);
  }
};

ROWS_FOR_EACH_PROCESSOR void gelu(const Dense& x, float* buffer, uint8_t* bytes, float* ranges) {
  for (size_t row = 0; row < x.count; ++row, bytes += x.n) {
    Floats most{};
    for (size_t at = 0; at < x.n; at += LANES) {
      const Floats active = rows::gelu(x.at(row, at));
      most = larger(most, magnitude(active));
      store(buffer + at, active);
    }
    rows::quantise(buffer, x.n, most, bytes, ranges + row);
  }
}

struct Norm {
  const float *scale, *shift;  // (n)
  float epsilon;
};

// Layer normalisation (Ba et al. 2016) of x + residual.
ROWS_FOR_EACH_PROCESSOR void normalise(const Dense& x, const float* residual, const Norm& norm, float* out,
                                       uint8_t* bytes, float* ranges) {
  const auto n = static_cast<float>(x.n);
  for (size_t row = 0; row < x.count; ++row, residual += x.n, out += x.n, bytes += x.n) {
    Floats total{}, squares{}, most{};
    for (size_t at = 0; at < x.n; at += LANES) {
      const Floats added = x.at(row, at) + load(residual + at);
      total += added;
      store(out + at, added);
    }
    const float mean = rows::sum(total) / n;
    for (size_t at = 0; at < x.n; at += LANES) {
      const Floats off = load(out + at) - mean;
      squares += off * off;
    }
    const float inverse = 1 / __builtin_sqrtf(rows::sum(squares) / n + norm.epsilon);
    for (size_t at = 0; at < x.n; at += LANES) {
      const Floats normed = (load(out + at) - mean) * inverse * load(norm.scale + at) + load(norm.shift + at);
      most = larger(most, magnitude(normed));
      store(out + at, normed);
    }
    rows::quantise(out, x.n, most, bytes, ranges + row);
  }
}

// Input 0, (…, n): its rows, and the dimensions of one number for each.
struct Shaped {
  Dims dims, column;
  size_t count = 1, n = 0;

  explicit Shaped(Run& run) : dims(run.dims(0)), column(dims) {
    run.require(!dims.empty() && dims.back() > 0 && dims.back() % LANES == 0, "rows of whole groups of 16 are needed");
    if (run.error()) return;
    n = static_cast<size_t>(dims.back());
    column.back() = 1;
    for (const int64_t dim : column) count *= static_cast<size_t>(dim);
  }
  Dense dense(Run& run) const {
    return {count, n, run.input<float>(0, count * n), run.input<float>(1, count), run.input<float>(2, n)};
  }
};

struct Quantise {
  static constexpr const char* NAME = "Quantise";
  static constexpr ort::Type INPUTS[] = {FLOAT}, OUTPUTS[] = {UINT8, FLOAT};

  explicit Quantise(ort::Attributes&) {}
  void operator()(Run& run) const {
    const Shaped shape(run);
    const auto* x = run.input<float>(0, shape.count * shape.n);
    auto* bytes = run.output<uint8_t>(0, shape.dims);
    auto* ranges = run.output<float>(1, shape.column);
    if (!run.error()) quantise(x, shape.count, shape.n, bytes, ranges);
  }
};

struct GeluQuantise {
  static constexpr const char* NAME = "GeluQuantise";
  static constexpr ort::Type INPUTS[] = {FLOAT, FLOAT, FLOAT}, OUTPUTS[] = {UINT8, FLOAT};

  explicit GeluQuantise(ort::Attributes&) {}
  void operator()(Run& run) const {
    const Shaped shape(run);
    const Dense x = shape.dense(run);
    auto* bytes = run.output<uint8_t>(0, shape.dims);
    auto* ranges = run.output<float>(1, shape.column);
    std::vector<float> buffer(shape.n);
    if (!run.error()) gelu(x, buffer.data(), bytes, ranges);
  }
};

struct NormQuantise {
  static constexpr const char* NAME = "NormQuantise";
  static constexpr ort::Type INPUTS[] = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT}, OUTPUTS[] = {FLOAT, UINT8, FLOAT};
  const float epsilon;

  explicit NormQuantise(ort::Attributes& of) : epsilon(of.number("epsilon")) {}
  void operator()(Run& run) const {
    const Shaped shape(run);
    const Dense x = shape.dense(run);
    const auto* residual = run.input<float>(3, shape.count * shape.n);
    const Norm norm{run.input<float>(4, shape.n), run.input<float>(5, shape.n), epsilon};
    auto* out = run.output<float>(0, shape.dims);
    auto* bytes = run.output<uint8_t>(1, shape.dims);
    auto* ranges = run.output<float>(2, shape.column);
    if (!run.error()) normalise(x, residual, norm, out, bytes, ranges);
  }
};

struct AttentionQuantise {
  static constexpr const char* NAME = "AttentionQuantise";
  static constexpr ort::Type INPUTS[] = {FLOAT, FLOAT, FLOAT, INT64}, OUTPUTS[] = {UINT8, FLOAT};

  explicit AttentionQuantise(ort::Attributes&) {}
  void operator()(Run& run) const {
    const Shaped shape(run);
    run.require(shape.dims.size() == 3 && shape.n % (3 * attention::WIDTH) == 0, "three parts of heads of 32 are needed");
    const Dense x = shape.dense(run);
    const auto* present = run.input<int64_t>(3, shape.count);
    if (run.error()) return;
    const size_t hidden = shape.n / 3, tokens = static_cast<size_t>(shape.dims[1]);
    auto* bytes = run.output<uint8_t>(0, {shape.dims[0], shape.dims[1], static_cast<int64_t>(hidden)});
    auto* ranges = run.output<float>(1, shape.column);
    if (run.error()) return;
    attention::Heads heads(tokens, hidden / attention::WIDTH);
    for (size_t row = 0; row < shape.count; row += tokens) {
      attention::attend_all({x.products + row * x.n, x.scales + row, x.bias, present + row}, heads);
      quantise(heads.joined.data(), tokens, hidden, bytes + row * hidden, ranges + row);
    }
  }
};

// One for all sessions; it lives as long as the process.
ort::Status* add_to(ort::Domain* domain, const ort::Api& api) {
  static const ort::Custom<Quantise> quantise;
  static const ort::Custom<GeluQuantise> gelu;
  static const ort::Custom<NormQuantise> norm;
  static const ort::Custom<AttentionQuantise> attention;
  ort::Status* error = nullptr;
  for (const ort::Operator* one : std::initializer_list<const ort::Operator*>{&quantise, &gelu, &norm, &attention})
    if (!error) error = api.add(domain, one);
  return error;
}

}  // namespace

// What `SessionOptions.register_custom_ops_library` calls.
extern "C" __attribute__((visibility("default"))) ort::Status* RegisterCustomOps(ort::Options* options,
                                                                                 const ort::ApiBase* base) {
  const ort::Api& api = *base->api(ort::VERSION);
  static ort::Domain* domain = nullptr;
  static ort::Status* const error = [&] {
    ort::Status* failed = api.create_domain("rag_appliance", &domain);
    return failed ? failed : add_to(domain, api);
  }();
  return error ? error : api.add(options, domain);
}

PYBIND11_MODULE(operators, module) { module.doc() = "Its file is a library of operators for onnxruntime."; }

// Vectors in half precision and their cosine with a question: 2 bytes a number, as the database keeps them.
//
// A vector h of length |h| stands as float32 1 / |h| and float16 h[dimensions]; what it means is h / |h|. A question that
// is compared with many stands as float32 0, which no vector has, and float32 q[dimensions] of length 1.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "hnswlib/hnswlib.h"

#if defined(__F16C__) && defined(__FMA__)
#include <immintrin.h>
#elif !defined(__ARM_FP16_FORMAT_IEEE)
#error "half precision needs F16C and FMA (x86-64-v3) or ARM's __fp16"
#endif

namespace half {

constexpr size_t kScale = sizeof(float);

#if defined(__F16C__)
using Number = uint16_t;

inline Number narrowed(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }
inline float widened(Number value) { return _cvtsh_ss(value); }

inline __m256 eight(const float* at) { return _mm256_loadu_ps(at); }
inline __m256 eight(const Number* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

inline float sum(__m256 lanes) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}
#else
using Number = __fp16;

inline Number narrowed(float value) { return static_cast<Number>(value); }
inline float widened(Number value) { return static_cast<float>(value); }
#endif

inline float widened(float value) { return value; }

// The inner product of `a`, float32 or float16, and `b`.
template <class T>
float product(const T* a, const Number* b, size_t dimensions) {
  size_t at = 0;
  float total = 0;
#if defined(__F16C__)
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (; at + 32 <= dimensions; at += 32) {
    for (size_t lane = 0; lane < 4; ++lane) {
      sums[lane] = _mm256_fmadd_ps(eight(a + at + 8 * lane), eight(b + at + 8 * lane), sums[lane]);
    }
  }
  total = sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
#endif
  for (; at < dimensions; ++at) total += widened(a[at]) * widened(b[at]);
  return total;
}

inline float scale_of(const void* vector) {
  float scale;
  std::memcpy(&scale, vector, sizeof scale);
  return scale;
}

template <class T>
const T* numbers_of(const void* vector) {
  return reinterpret_cast<const T*>(static_cast<const char*>(vector) + kScale);
}

// 1 - cosine of a vector or question with a vector.
inline float distance(const void* a, const void* b, const void* dimensions) {
  const size_t size = *static_cast<const size_t*>(dimensions);
  const float scale = scale_of(a);
  const float product_of_both = scale == 0 ? product(numbers_of<float>(a), numbers_of<Number>(b), size)
                                           : scale * product(numbers_of<Number>(a), numbers_of<Number>(b), size);
  return 1 - product_of_both * scale_of(b);
}

class Space final : public hnswlib::SpaceInterface<float> {
 public:
  explicit Space(size_t dimensions) : dimensions_(dimensions) {}
  size_t get_data_size() override { return kScale + dimensions_ * sizeof(Number); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
  void* get_dist_func_param() override { return &dimensions_; }

  // Write the float16 numbers whose direction `numbers` gives (h / |h|, as the database's are read): those very h.
  void write(const float* numbers, void* vector) const {
    float length = round(numbers, 1, vector);
    length = round(numbers, length, vector);  // now that |h| is known but for little, numbers * |h| rounds to h
    const float scale = 1 / length;
    std::memcpy(vector, &scale, sizeof scale);
  }

  void read(const void* vector, float* numbers) const {
    const float scale = scale_of(vector);
    for (size_t i = 0; i < dimensions_; ++i) numbers[i] = scale * widened(numbers_of<Number>(vector)[i]);
  }

  std::vector<char> question(const float* numbers) const {
    std::vector<char> made(kScale + dimensions_ * sizeof(float));
    std::memcpy(made.data() + kScale, numbers, dimensions_ * sizeof(float));
    return made;
  }

 private:
  // The length of what `numbers` times `factor` rounds to; 1 where that is 0, which is as far from everything.
  float round(const float* numbers, float factor, void* vector) const {
    double squares = 0;
    char* at = static_cast<char*>(vector) + kScale;
    for (size_t i = 0; i < dimensions_; ++i, at += sizeof(Number)) {
      const Number number = narrowed(numbers[i] * factor);
      std::memcpy(at, &number, sizeof number);
      squares += static_cast<double>(widened(number)) * widened(number);
    }
    return squares > 0 ? static_cast<float>(std::sqrt(squares)) : 1;
  }

  size_t dimensions_;
};

}  // namespace half

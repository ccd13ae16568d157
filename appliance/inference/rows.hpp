// Arithmetic on rows of floats, 16 at a time.
//
// Every element goes through the same steps and sums are added up in a fixed order, so what a row becomes does not
// depend on its neighbours. A product and a sum may be contracted to one rounding: all rows are treated alike.
#pragma once

#include <cstdint>
#include <cstring>

#pragma GCC optimize("fp-contract=fast")

// What takes or gives groups is inlined: no call passes one, whose registers depend on the processor.
#define ROWS_INLINE inline __attribute__((always_inline))
#if defined(__x86_64__)
#define ROWS_FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "default")))
#else
#define ROWS_FOR_EACH_PROCESSOR
#endif

namespace rows {

constexpr size_t LANES = 16;
constexpr float SMALLEST = 1e-6F;  // a row of zeros must not divide by zero
constexpr float LEVELS = 127;
constexpr float LOWEST = -3.4e38F;
constexpr float ROUNDER = 12582912.0F;  // 1.5 * 2**23: floats there are 1 apart, so adding it rounds to nearest even

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));

ROWS_INLINE Floats load(const float* from) {
  Floats loaded;
  std::memcpy(&loaded, from, sizeof loaded);
  return loaded;
}
ROWS_INLINE void store(float* to, Floats what) { std::memcpy(to, &what, sizeof what); }
ROWS_INLINE Floats all(float value) { return value - Floats{}; }
ROWS_INLINE Floats larger(Floats one, Floats other) { return one > other ? one : other; }
ROWS_INLINE Floats magnitude(Floats x) { return (Floats)((Ints)x & 0x7fffffff); }

ROWS_INLINE float sum(Floats x) {
  float total = 0;
  for (size_t lane = 0; lane < LANES; ++lane) total += x[lane];
  return total;
}
ROWS_INLINE float largest(Floats x) {
  float most = x[0];
  for (size_t lane = 1; lane < LANES; ++lane) most = x[lane] > most ? x[lane] : most;
  return most;
}

// e**x for x <= 88, to 2e-7 of it; 0 below -87. 2**n times the Taylor series of what remains, |r| <= ln(2) / 2.
ROWS_INLINE Floats exponential(Floats x) {
  const Floats shifted = x * 1.44269504F + ROUNDER, n = shifted - ROUNDER;
  const Floats r = x - n * 0.693359375F - n * -2.12194440e-4F;  // ln(2) in two parts
  Floats series = all(1.0F / 5040);
  for (const float term : {1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F}) series = series * r + term;
  const Ints power = ((Ints)shifted - (Ints)all(ROUNDER) + 127) << 23;
  return x < -87.0F ? Floats{} : series * (Floats)power;
}

// x times the share of the normal distribution below x (Hendrycks and Gimpel 2016), to 3e-7 of |x|.
// What lies beyond |x| is half of erfc(|x| / sqrt(2)) by Abramowitz and Stegun 7.1.26.
ROWS_INLINE Floats gelu(Floats x) {
  const Floats z = magnitude(x) * 0.707106781F, t = 1.0F / (1.0F + 0.3275911F * z);
  Floats series = all(1.061405429F);
  for (const float term : {-1.453152027F, 1.421413741F, -0.284496736F, 0.254829592F}) series = series * t + term;
  const Floats beyond = 0.5F * t * series * exponential(-z * z);
  return larger(x, Floats{}) - magnitude(x) * beyond;
}

// (n) and the magnitudes found in it -> its range, the largest, and bytes: x = range / 127 * (byte - 128).
ROWS_INLINE void quantise(const float* x, size_t n, Floats magnitudes, uint8_t* __restrict bytes, float* range) {
  *range = largest(larger(magnitudes, all(SMALLEST)));
  const float scale = LEVELS / *range;
  for (size_t at = 0; at < n; ++at) {
    const float shifted = x[at] * scale + (ROUNDER + 128);
    int32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bytes[at] = static_cast<uint8_t>(bits);
  }
}

}  // namespace rows

// Attention of one text (Vaswani et al. 2017), four queries at a time against all keys: everything stays in the cache.
#pragma once

#include <vector>

#include "rows.hpp"

namespace attention {

using rows::Floats;
using rows::LANES;

constexpr size_t WIDTH = 2 * LANES;  // of a head
constexpr size_t QUERIES = 4;

struct Text {
  const float *products, *scales, *bias;  // (s, 3 h) of queries, keys and values, divided by scales (s); (3 h)
  const int64_t* present;                 // (s), 0 for padding
};

// One head's rows, and what becomes of all heads'.
struct Heads {
  const size_t tokens, heads, padded;
  std::vector<float> query, key, value;  // (padded, 32), (32, padded), (padded, 32)
  std::vector<float> mask, shares;       // (padded) of 0 and LOWEST, (QUERIES, padded)
  std::vector<float> joined;             // (tokens, h)

  Heads(size_t tokens, size_t heads)
      : tokens(tokens), heads(heads), padded((tokens + WIDTH - 1) / WIDTH * WIDTH), query(padded * WIDTH),
        key(padded * WIDTH), value(padded * WIDTH), mask(padded), shares(QUERIES * padded),
        joined(tokens * heads * WIDTH) {}
};

ROWS_FOR_EACH_PROCESSOR void read(const Text& text, size_t head, Heads& to) {
  const size_t hidden = to.heads * WIDTH;
  for (size_t token = 0; token < to.tokens; ++token) {
    const float* from = text.products + token * 3 * hidden + head * WIDTH;
    const float *added = text.bias + head * WIDTH, scale = text.scales[token];
    for (size_t at = 0; at < WIDTH; at += LANES) {
      rows::store(&to.query[token * WIDTH + at], rows::load(from + at) * scale + rows::load(added + at));
      const size_t value = 2 * hidden + at;
      rows::store(&to.value[token * WIDTH + at], rows::load(from + value) * scale + rows::load(added + value));
    }
    for (size_t at = 0; at < WIDTH; ++at)
      to.key[at * to.padded + token] = from[hidden + at] * scale + added[hidden + at];
  }
}

// Softmax of the products of four queries with all keys, and the mean of the values by it.
ROWS_FOR_EACH_PROCESSOR void attend(Heads& in, size_t head, size_t first) {
  const float* query = &in.query[first * WIDTH];
  Floats most[QUERIES], total[QUERIES] = {}, mixed[QUERIES][2] = {};
  for (Floats& one : most) one = rows::all(rows::LOWEST);
  for (size_t key = 0; key < in.padded; key += WIDTH) {
    Floats products[QUERIES][2];
    for (auto& row : products) row[0] = rows::load(&in.mask[key]), row[1] = rows::load(&in.mask[key + LANES]);
    for (size_t at = 0; at < WIDTH; ++at) {
      const float* column = &in.key[at * in.padded + key];
      const Floats left = rows::load(column), right = rows::load(column + LANES);
      for (size_t row = 0; row < QUERIES; ++row) {
        products[row][0] += query[row * WIDTH + at] * left;
        products[row][1] += query[row * WIDTH + at] * right;
      }
    }
    for (size_t row = 0; row < QUERIES; ++row) {
      most[row] = rows::larger(most[row], rows::larger(products[row][0], products[row][1]));
      rows::store(&in.shares[row * in.padded + key], products[row][0]);
      rows::store(&in.shares[row * in.padded + key + LANES], products[row][1]);
    }
  }
  for (size_t row = 0; row < QUERIES; ++row) {
    const float top = rows::largest(most[row]);
    float* shares = &in.shares[row * in.padded];
    for (size_t key = 0; key < in.padded; key += LANES) {
      const Floats power = rows::exponential(rows::load(shares + key) - top);
      total[row] += power;
      rows::store(shares + key, power);
    }
  }
  for (size_t key = 0; key < in.tokens; ++key) {
    const float* value = &in.value[key * WIDTH];
    const Floats left = rows::load(value), right = rows::load(value + LANES);
    for (size_t row = 0; row < QUERIES; ++row) {
      mixed[row][0] += in.shares[row * in.padded + key] * left;
      mixed[row][1] += in.shares[row * in.padded + key] * right;
    }
  }
  for (size_t row = 0; row < QUERIES && first + row < in.tokens; ++row) {
    float* out = &in.joined[((first + row) * in.heads + head) * WIDTH];
    const float sum = rows::sum(total[row]);
    rows::store(out, mixed[row][0] / sum);
    rows::store(out + LANES, mixed[row][1] / sum);
  }
}

// -> `heads.joined`.
void attend_all(const Text& text, Heads& heads) {
  for (size_t token = 0; token < heads.padded; ++token)
    heads.mask[token] = token < heads.tokens && text.present[token] ? 0 : rows::LOWEST;
  for (size_t head = 0; head < heads.heads; ++head) {
    read(text, head, heads);
    for (size_t first = 0; first < heads.tokens; first += QUERIES) attend(heads, head, first);
  }
}

}  // namespace attention

// Stems of words, written out and looked for in the pass that cuts them.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "stems.hpp"

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

using stems::each_stem;

py::str stem_line(const py::str& text) {
  if (!PyUnicode_IS_ASCII(text.ptr())) throw py::value_error("the text is not ASCII");
  std::string line(1, ' ');
  each_stem(text.ptr(), [&line](const std::string& stem) { line.append(stem).push_back(' '); });
  return line;
}

uint64_t hash_of(std::string_view stem) { return std::hash<std::string_view>{}(stem); }

// The stems that are looked for, by their hashes. Most words of a text are settled by a look at one bit.
class Wanted {
 public:
  Wanted(const py::sequence& keys, const py::sequence& pairs) {
    for (py::handle key : keys) {
      const uint64_t hash = hash_of(py::cast<std::string>(key));
      if (!places_.emplace(hash, places_.size()).second) throw py::value_error("a key is there twice");
      seen_.set(hash % seen_.size());
    }
    for (py::handle pair : pairs) pairs_.push_back(py::cast<std::pair<int64_t, int64_t>>(pair));
  }

  // Sets what of it a passage has.
  void look(const std::vector<uint64_t>& passage, bool* words, bool* together) const {
    int64_t before = -1;
    for (const uint64_t hash : passage) {
      const int64_t at = place(hash);
      if (at >= 0) words[at] = true;
      for (size_t pair = 0; at >= 0 && before >= 0 && pair < pairs_.size(); ++pair) {
        if (pairs_[pair] == std::pair(before, at)) together[pair] = true;
      }
      before = at;
    }
  }

  size_t size() const { return places_.size(); }
  size_t pairs() const { return pairs_.size(); }

 private:
  int64_t place(uint64_t hash) const {  // -1 where it is no key's
    if (!seen_.test(hash % seen_.size())) return -1;
    const auto found = places_.find(hash);
    return found == places_.end() ? -1 : static_cast<int64_t>(found->second);
  }

  std::unordered_map<uint64_t, size_t> places_;
  std::vector<std::pair<int64_t, int64_t>> pairs_;
  std::bitset<4096> seen_;
};

// The hashes of the stems of the passages read last, by Python's own (of 64 bits, keyed by chance, known to a str that
// was hashed before) of their context and text. The interpreter's lock is held throughout.
class Passages {
 public:
  explicit Passages(size_t most) : most_(std::max<size_t>(most, 1)) {}

  py::tuple held(const py::sequence& contexts, const py::sequence& texts, const py::sequence& keys,
                 const py::sequence& pairs) {
    const Wanted wanted(keys, pairs);
    const size_t rows = py::len(texts);
    if (py::len(contexts) != rows) throw py::value_error("each text has a context");
    py::array_t<bool> words({rows, wanted.size()}), together({rows, wanted.pairs()});
    std::fill_n(words.mutable_data(), rows * wanted.size(), false);
    std::fill_n(together.mutable_data(), rows * wanted.pairs(), false);
    for (size_t row = 0; row < rows; ++row) {
      wanted.look(read(contexts[row], texts[row]), words.mutable_data() + row * wanted.size(),
                  together.mutable_data() + row * wanted.pairs());
    }
    return py::make_tuple(words, together);
  }

  py::array_t<double> shares(const py::sequence& contexts, const py::sequence& texts, const py::sequence& keys,
                             const std::vector<double>& weights, const std::vector<std::pair<size_t, size_t>>& pairs) {
    std::vector<double> lesser;
    for (const auto& [one, two] : pairs) lesser.push_back(std::min(weights.at(one), weights.at(two)));
    const py::tuple found = held(contexts, texts, keys, py::cast(pairs));
    py::array_t<double> shares({size_t{2}, py::len(texts)});
    share_of(py::cast<py::array_t<bool>>(found[0]), weights, shares.mutable_data());
    share_of(py::cast<py::array_t<bool>>(found[1]), lesser, shares.mutable_data() + py::len(texts));
    return shares;
  }

  void forget() {
    places_.clear();
    kept_.clear();
  }

  size_t size() const { return kept_.size(); }

 private:
  using Key = std::pair<Py_hash_t, Py_hash_t>;
  using Kept = std::list<std::pair<Key, std::vector<uint64_t>>>;  // read last first
  struct Mixed {
    size_t operator()(const Key& key) const { return static_cast<size_t>(key.first) * 31 + static_cast<size_t>(key.second); }
  };

  // What share of the weights each row holds, of those that any row holds.
  static void share_of(const py::array_t<bool>& held, const std::vector<double>& weights, double* shares) {
    if (static_cast<size_t>(held.shape(1)) != weights.size()) throw py::value_error("each stem has a weight");
    double total = 0;
    for (py::ssize_t row = 0; row < held.shape(0); ++row) shares[row] = 0;
    for (py::ssize_t key = 0; key < held.shape(1); ++key) {
      bool any = false;
      for (py::ssize_t row = 0; row < held.shape(0); ++row) {
        if (!held.at(row, key)) continue;
        shares[row] += weights[static_cast<size_t>(key)];
        any = true;
      }
      if (any) total += weights[static_cast<size_t>(key)];
    }
    if (total > 0) std::for_each(shares, shares + held.shape(0), [total](double& share) { share /= total; });
  }

  const std::vector<uint64_t>& read(const py::object& context, const py::object& text) {
    if (!PyUnicode_CheckExact(context.ptr()) || !PyUnicode_CheckExact(text.ptr())) throw py::type_error("no str");
    const Key key(py::hash(context), py::hash(text));
    if (const auto found = places_.find(key); found != places_.end()) {
      kept_.splice(kept_.begin(), kept_, found->second);
      return kept_.front().second;
    }
    std::vector<uint64_t> stems;
    stems.reserve(static_cast<size_t>(PyUnicode_GET_LENGTH(text.ptr())) / 4);
    for (const py::object& part : {context, text}) {
      const py::object small = PyUnicode_IS_ASCII(part.ptr()) ? part : part.attr("lower")();
      each_stem(small.ptr(), [&stems](const std::string& stem) { stems.push_back(hash_of(stem)); });
    }
    stems.shrink_to_fit();
    if (kept_.size() >= most_) {
      places_.erase(kept_.back().first);
      kept_.pop_back();
    }
    kept_.emplace_front(key, std::move(stems));
    places_.emplace(key, kept_.begin());
    return kept_.front().second;
  }

  size_t most_;
  Kept kept_;
  std::unordered_map<Key, Kept::iterator, Mixed> places_;
};

}  // namespace

PYBIND11_MODULE(stemming, module) {
  module.def("stem_line", &stem_line);
  py::class_<Passages>(module, "Passages")
      .def(py::init<size_t>())
      .def("held", &Passages::held)
      .def("shares", &Passages::shares)
      .def("forget", &Passages::forget)
      .def("__len__", &Passages::size);
}

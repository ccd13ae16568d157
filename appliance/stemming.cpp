// Words of texts and their stems, cut and looked for in one pass. words.py says what a word and a stem are.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
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

constexpr Py_UCS4 kCurlyApostrophe = 0x2019;
constexpr std::string_view kCurly = "\xe2\x80\x99";  // the same in UTF-8

// ASCII letters in small and digits; 0 for what no word is made of.
constexpr std::array<char, 128> kFolded = [] {
  std::array<char, 128> folded{};
  for (char one = '0'; one <= '9'; ++one) folded[static_cast<size_t>(one)] = one;
  for (char one = 'a'; one <= 'z'; ++one) folded[static_cast<size_t>(one)] = folded[static_cast<size_t>(one - 'a' + 'A')] = one;
  return folded;
}();

// Of scripts without blanks between words: words.py's `_UNSPACED`.
constexpr std::array<std::pair<Py_UCS4, Py_UCS4>, 8> kUnspaced{{{0x3040, 0x30ff},
                                                                {0x3400, 0x4dbf},
                                                                {0x4e00, 0x9fff},
                                                                {0xac00, 0xd7ff},
                                                                {0xf900, 0xfaff},
                                                                {0x0e00, 0x0eff},
                                                                {0x1000, 0x109f},
                                                                {0x1780, 0x17ff}}};

bool is_unspaced(Py_UCS4 character) {
  if (character < 0x0e00) return false;
  return std::any_of(kUnspaced.begin(), kUnspaced.end(),
                     [=](const auto& range) { return range.first <= character && character <= range.second; });
}

// What a word has for a character, an ASCII letter in small; 0 for what no word of a script with blanks is made of.
Py_UCS4 folded(Py_UCS4 character) {
  if (character < kFolded.size()) return static_cast<unsigned char>(kFolded[character]);
  return Py_UNICODE_ISALNUM(character) && !is_unspaced(character) ? character : 0;
}

bool is_apostrophe(Py_UCS4 character) { return character == '\'' || character == kCurlyApostrophe; }

void append(std::string& word, Py_UCS4 character) {
  const auto byte = [&word](Py_UCS4 value) { word.push_back(static_cast<char>(value)); };
  if (character < 0x80) return byte(character);
  if (character < 0x800) {
    byte(0xc0 | character >> 6);
  } else if (character < 0x10000) {
    byte(0xe0 | character >> 12);
    byte(0x80 | (character >> 6 & 0x3f));
  } else {
    byte(0xf0 | character >> 18);
    byte(0x80 | (character >> 12 & 0x3f));
    byte(0x80 | (character >> 6 & 0x3f));
  }
  byte(0x80 | (character & 0x3f));
}

bool ends_with(std::string_view word, std::string_view ending) {
  return word.size() >= ending.size() && word.compare(word.size() - ending.size(), ending.size(), ending) == 0;
}

void strip_possessive(std::string& word) {
  if (word.size() < 3 || word.back() != 's') return;
  const std::string_view before(word.data(), word.size() - 1);
  if (before.back() == '\'') {
    word.resize(before.size() - 1);
  } else if (ends_with(before, kCurly)) {
    word.resize(before.size() - kCurly.size());
  }
}

struct Ending {
  std::string_view ending, instead;
};

constexpr std::array<Ending, 8> kEndings{
    {{"ies", "y"}, {"sses", "ss"}, {"ing", ""}, {"edly", ""}, {"ed", ""}, {"es", ""}, {"s", ""}, {"ly", ""}}};

void strip_ending(std::string& word) {
  if (const char last = word.back(); last != 's' && last != 'g' && last != 'd' && last != 'y') return;
  for (const auto& [ending, instead] : kEndings) {
    if (word.size() < ending.size() + 3 || !ends_with(word, ending)) continue;
    if (ending == "s" && (ends_with(word, "ss") || ends_with(word, "us") || ends_with(word, "is"))) return;
    word.replace(word.size() - ending.size(), ending.size(), instead);
    return;
  }
}

// The stem of a word in small letters: words.py's `stem`, in place.
void stem(std::string& word) {
  strip_possessive(word);
  if (word.size() <= 3 || (word[0] >= '0' && word[0] <= '9')) return;
  if (std::any_of(word.begin(), word.end(), [](char byte) { return static_cast<signed char>(byte) < 0; })) return;
  strip_ending(word);
  const char last = word.back();
  if (word.size() > 3 && last == word[word.size() - 2] && last != 'l' && last != 's' && last != 'z') word.pop_back();
  if (word.size() > 3 && word.back() == 'e') word.pop_back();
}

// Gives a run without blanks to `found` as its overlapping pairs of characters; where it ends.
template <class Character, class Found>
size_t each_pair(const Character* text, size_t size, size_t at, std::string& word, Found found) {
  size_t end = at;
  while (end < size && is_unspaced(text[end])) ++end;
  do {
    word.clear();
    append(word, text[at]);
    if (at + 1 < end) append(word, text[at + 1]);
    found(word);
  } while (++at + 1 < end);
  return end;
}

// Gives the stem of each word of a text in small letters to `found`; those in ASCII may be in capitals.
template <class Character, class Found>
void each_stem(const Character* text, size_t size, Found found) {
  std::string word;
  for (size_t at = 0; at < size;) {
    if (!folded(text[at])) {
      at = is_unspaced(text[at]) ? each_pair(text, size, at, word, found) : at + 1;
      continue;
    }
    word.clear();
    for (bool joined = false; at < size; ++at) {
      if (const Py_UCS4 letter = folded(text[at])) {
        append(word, letter);
      } else if (!joined && is_apostrophe(text[at]) && at + 1 < size && folded(text[at + 1])) {
        append(word, text[at]);
        joined = true;
      } else {
        break;
      }
    }
    stem(word);
    found(word);
  }
}

template <class Found>
void each_stem(py::handle text, Found found) {
  const auto size = static_cast<size_t>(PyUnicode_GET_LENGTH(text.ptr()));
  const void* data = PyUnicode_DATA(text.ptr());
  switch (PyUnicode_KIND(text.ptr())) {
    case PyUnicode_1BYTE_KIND:
      return each_stem(static_cast<const Py_UCS1*>(data), size, found);
    case PyUnicode_2BYTE_KIND:
      return each_stem(static_cast<const Py_UCS2*>(data), size, found);
    default:
      return each_stem(static_cast<const Py_UCS4*>(data), size, found);
  }
}

py::str stem_line(const py::str& text) {
  if (!PyUnicode_IS_ASCII(text.ptr())) throw py::value_error("the text is not ASCII");
  std::string line(1, ' ');
  each_stem(text, [&line](const std::string& stem) { line.append(stem).push_back(' '); });
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
      each_stem(small, [&stems](const std::string& stem) { stems.push_back(hash_of(stem)); });
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

// Words of texts and their stems, cut and looked for in one pass. words.py says what a word and a stem are.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

constexpr char kForeign = '\x01';  // stands for any letter or digit beyond ASCII
constexpr char kCurly = '\x02';    // and for the typographic apostrophe
constexpr Py_UCS4 kCurlyApostrophe = 0x2019;

// ASCII letters in small and digits; 0 for what no word is made of.
constexpr std::array<char, 128> kFolded = [] {
  std::array<char, 128> folded{};
  for (char one = '0'; one <= '9'; ++one) folded[static_cast<size_t>(one)] = one;
  for (char one = 'a'; one <= 'z'; ++one) folded[static_cast<size_t>(one)] = folded[static_cast<size_t>(one - 'a' + 'A')] = one;
  return folded;
}();

char folded(Py_UCS4 character) {
  if (character < kFolded.size()) return kFolded[character];
  return Py_UNICODE_ISALNUM(character) ? kForeign : 0;
}

char apostrophe(Py_UCS4 character) {
  if (character == '\'') return '\'';
  return character == kCurlyApostrophe ? kCurly : 0;
}

bool ends_with(const std::string& word, std::string_view ending) {
  return word.size() >= ending.size() && word.compare(word.size() - ending.size(), ending.size(), ending) == 0;
}

void strip_possessive(std::string& word) {
  if (word.size() > 2 && word.back() == 's' && (word[word.size() - 2] == '\'' || word[word.size() - 2] == kCurly)) {
    word.resize(word.size() - 2);
  }
}

struct Ending {
  std::string_view ending, instead;
};

constexpr std::array<Ending, 8> kEndings{
    {{"ies", "y"}, {"sses", "ss"}, {"ing", ""}, {"edly", ""}, {"ed", ""}, {"es", ""}, {"s", ""}, {"ly", ""}}};

void strip_ending(std::string& word) {
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
  if (word.find_first_of("\x01\x02") != std::string::npos) return;
  strip_ending(word);
  const char last = word.back();
  if (word.size() > 3 && last == word[word.size() - 2] && last != 'l' && last != 's' && last != 'z') word.pop_back();
  if (word.size() > 3 && word.back() == 'e') word.pop_back();
}

// Gives the stem of each word of a text to `found`: "" where `wanted` does not want a word with its first two letters.
template <class Character, class Wanted, class Found>
void each_stem(const Character* text, size_t size, const Wanted& wanted, Found found) {
  std::string word;
  for (size_t at = 0; at < size;) {
    const char first = folded(text[at]);
    if (!first) {
      ++at;
      continue;
    }
    const char second = at + 1 < size ? folded(text[at + 1]) : 0;
    const bool apart = !second && at + 1 < size && apostrophe(text[at + 1]);  // "a's"
    const bool cut = apart || wanted(first, second);
    word.clear();
    for (bool joined = false; at < size; ++at) {
      if (const char letter = folded(text[at])) {
        if (cut) word.push_back(letter);
      } else if (const char mark = apostrophe(text[at]); mark && !joined && at + 1 < size && folded(text[at + 1])) {
        if (cut) word.push_back(mark);
        joined = true;
      } else {
        break;
      }
    }
    if (cut) stem(word);
    found(word);
  }
}

template <class Wanted, class Found>
void each_stem(py::handle text, const Wanted& wanted, Found found) {
  const auto size = static_cast<size_t>(PyUnicode_GET_LENGTH(text.ptr()));
  const void* data = PyUnicode_DATA(text.ptr());
  switch (PyUnicode_KIND(text.ptr())) {
    case PyUnicode_1BYTE_KIND:
      return each_stem(static_cast<const Py_UCS1*>(data), size, wanted, found);
    case PyUnicode_2BYTE_KIND:
      return each_stem(static_cast<const Py_UCS2*>(data), size, wanted, found);
    default:
      return each_stem(static_cast<const Py_UCS4*>(data), size, wanted, found);
  }
}

py::str stem_line(const py::str& text) {
  if (!PyUnicode_IS_ASCII(text.ptr())) throw py::value_error("the text is not ASCII");
  std::string line(1, ' ');
  const auto all = [](char, char) { return true; };
  each_stem(text, all, [&line](const std::string& stem) { line.append(stem).push_back(' '); });
  return line;
}

// The stems that are looked for. Most words of a text are settled by their first two letters, which a stem keeps.
class Wanted {
 public:
  explicit Wanted(const py::sequence& keys) {
    for (py::handle item : keys) {
      const auto key = py::cast<std::string>(item);
      if (!key.empty()) begins_[beginning(key[0], key.size() > 1 ? key[1] : '\0')] = true;
      places_.emplace(key, places_.size());
    }
  }

  bool operator()(char first, char second) const { return begins_[beginning(first, second)]; }

  // The place of a stem among the keys, -1 where it is none.
  int64_t place(const std::string& stem) const {
    if (stem.empty()) return -1;
    const auto found = places_.find(stem);
    return found == places_.end() ? -1 : static_cast<int64_t>(found->second);
  }

  size_t size() const { return places_.size(); }

 private:
  static size_t beginning(char first, char second) {
    return (static_cast<unsigned char>(first) % 128u) * 128u + static_cast<unsigned char>(second) % 128u;
  }

  std::unordered_map<std::string, size_t> places_;
  std::array<bool, 128 * 128> begins_{};
};

py::tuple held(const py::sequence& texts, const py::sequence& keys, const py::sequence& pairs) {
  const Wanted wanted(keys);
  if (wanted.size() != py::len(keys)) throw py::value_error("a key is there twice");
  std::vector<std::pair<int64_t, int64_t>> asked;
  for (py::handle pair : pairs) asked.push_back(py::cast<std::pair<int64_t, int64_t>>(pair));
  const size_t rows = py::len(texts);
  py::array_t<bool> words({rows, wanted.size()}), together({rows, asked.size()});
  bool* has = words.mutable_data();
  bool* beside = together.mutable_data();
  std::fill_n(has, rows * wanted.size(), false);
  std::fill_n(beside, rows * asked.size(), false);
  for (py::handle text : texts) {
    if (!PyUnicode_Check(text.ptr())) throw py::type_error("a text is a str");
    int64_t before = -1;
    each_stem(text, wanted, [&](const std::string& stem) {
      const int64_t place = wanted.place(stem);
      if (place >= 0) has[place] = true;
      for (size_t pair = 0; place >= 0 && before >= 0 && pair < asked.size(); ++pair) {
        if (asked[pair] == std::pair(before, place)) beside[pair] = true;
      }
      before = place;
    });
    has += wanted.size();
    beside += asked.size();
  }
  return py::make_tuple(words, together);
}

}  // namespace

PYBIND11_MODULE(stemming, module) {
  module.def("stem_line", &stem_line);
  module.def("held", &held);
}

// How much of a question each sentence says, by the stems of both. rank.py has the weights that this is for.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

constexpr size_t kMostWords = 512;  // of a question: question.py looks at 200, of a part with its whole at 400

using Set = std::bitset<kMostWords>;  // of the question's words, by their place

std::string_view view(py::handle text) {
  if (!PyUnicode_Check(text.ptr())) throw py::type_error("a stem or a line is a str");
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (!data) throw py::error_already_set();
  return {data, static_cast<size_t>(size)};
}

// The stems that count: words with their weights first, then those that only pairs have. It points into the strings of
// both, which hold them meanwhile.
class Question {
 public:
  Question(const py::dict& weights, const py::frozenset& pairs) {
    for (const auto& [word, weight] : weights) {
      place(view(word));
      weights_.push_back(py::cast<double>(weight));
    }
    if (weights_.size() > kMostWords) throw py::value_error("a question has at most 512 words");
    for (py::handle item : pairs) {
      const auto pair = py::cast<py::tuple>(item);
      if (pair.size() != 2) throw py::value_error("a pair is two stems");
      const size_t one = place(view(pair[0]));
      pairs_.emplace_back(one, place(view(pair[1])));
    }
  }

  double covered(const Set& some) const {
    double sum = 0;
    for (size_t place = 0; place < weights_.size(); ++place) {
      if (some[place]) sum += weights_[place];
    }
    return sum;
  }

  // Adds the words that a line of stems with blanks between has to `into`; gives the share of the pairs that it has.
  double read(std::string_view line, Set& into) const {
    std::vector<bool> paired;
    size_t before = kUnknown;
    for (size_t at = 0; at < line.size();) {
      const size_t end = std::min(line.find(' ', at), line.size());
      if (end > at) {
        const size_t here = known(line.substr(at, end - at));
        if (here < weights_.size()) into[here] = true;
        if (here != kUnknown && before != kUnknown) {
          paired.resize(pairs_.size());
          for (size_t pair = 0; pair < pairs_.size(); ++pair) {
            if (pairs_[pair] == std::pair(before, here)) paired[pair] = true;
          }
        }
        before = here;
      }
      at = end + 1;
    }
    const auto found = std::count(paired.begin(), paired.end(), true);
    return static_cast<double>(found) / static_cast<double>(std::max<size_t>(1, pairs_.size()));
  }

 private:
  static constexpr size_t kUnknown = SIZE_MAX;

  size_t place(std::string_view stem) {
    looks_.set(look(stem));
    return places_.emplace(stem, places_.size()).first->second;
  }

  size_t known(std::string_view stem) const {
    if (!looks_.test(look(stem))) return kUnknown;
    const auto found = places_.find(stem);
    return found == places_.end() ? kUnknown : found->second;
  }

  // Its first letter and its length: what settles most words of a text.
  static size_t look(std::string_view stem) {
    const auto first = stem.empty() ? 0 : static_cast<unsigned char>(stem.front());
    return static_cast<size_t>(first % 32) * 32 + stem.size() % 32;
  }

  std::unordered_map<std::string_view, size_t> places_;
  std::bitset<1024> looks_;
  std::vector<double> weights_;
  std::vector<std::pair<size_t, size_t>> pairs_;
};

struct Sentence {
  Set words;
  double pairs;
  size_t passage;
  bool follows, heading;  // follows: it is not the first of its passage
};

std::vector<Sentence> read_sentences(const Question& question, const py::sequence& sentences, size_t passages) {
  std::vector<Sentence> read;
  read.reserve(py::len(sentences));
  for (py::handle item : sentences) {
    const auto row = py::cast<py::tuple>(item);
    if (row.size() != 4) throw py::value_error("a sentence is its line, its passage, its position, whether a heading");
    Sentence one{{}, 0, py::cast<size_t>(row[1]), py::cast<size_t>(row[2]) > 0, py::cast<bool>(row[3])};
    if (one.passage >= passages) throw py::value_error("a sentence is in one of the passages");
    one.pairs = question.read(view(row[0]), one.words);
    read.push_back(std::move(one));
  }
  return read;
}

py::array_t<double> coverage(const py::dict& weights, const py::frozenset& pairs, const py::sequence& sentences,
                             const py::sequence& above, const py::sequence& about) {
  if (py::len(above) != py::len(about)) throw py::value_error("a passage has a line above and one about it");
  const Question question(weights, pairs);
  std::vector<Set> headings, around;
  for (py::handle line : above) question.read(view(line), headings.emplace_back());
  for (py::handle line : about) question.read(view(line), around.emplace_back());
  const auto read = read_sentences(question, sentences, around.size());
  for (const Sentence& one : read) around[one.passage] |= one.words;
  py::array_t<double> table({read.size(), size_t{4}});
  double* row = table.mutable_data();
  Set heading;
  for (size_t index = 0; index < read.size(); ++index, row += 4) {
    const Sentence& one = read[index];
    if (!index || read[index - 1].passage != one.passage) heading = headings[one.passage];
    Set words = one.words;
    const double own = question.covered(words);
    if (!one.heading) words |= heading;
    if (one.follows && index) words |= read[index - 1].words;
    const double more = question.covered(words);
    words |= around[one.passage];
    row[0] = own, row[1] = more - own, row[2] = question.covered(words) - more, row[3] = one.pairs;
    if (one.heading) heading = one.words;
  }
  return table;
}

}  // namespace

PYBIND11_MODULE(matching, module) { module.def("coverage", &coverage); }

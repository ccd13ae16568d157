// The inner loops over posting lists: the best rows of a question by BM25, and how often rows hold words.
//
// A part of a collection is scored a term at a time, the weightiest first, as in MaxScore (Turtle and Flood 1995, "Query
// evaluation: strategies and optimizations"): once the terms that are left cannot lift a row with none of the others
// among the k best, only the rows that may still get there are followed, and these alone are looked up in long lists.
// No row is lost: a row is let go where its score with all that the terms left may give stays below the k-th best.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace py = pybind11;

namespace {

constexpr size_t kMostRows = 65536;  // of a part: rows are numbered in 16 bits
constexpr size_t kLookUp = 8;        // a row looked up costs as much as so many of a walk through a list
constexpr double kRounding = 1e-9;
constexpr size_t kBrief = 50000;  // postings; a question with fewer keeps the interpreter's lock, which it would wait for

template <class T>
struct View {
  const T* data = nullptr;
  size_t size = 0;
};

// The memory of an array that the caller holds. Raises TypeError for any other kind.
template <class T>
View<T> view(py::handle object) {
  using Array = py::array_t<T, py::array::c_style>;
  if (!py::isinstance<Array>(object)) {
    throw py::type_error("expected a contiguous array of " + py::str(py::dtype::of<T>()).cast<std::string>());
  }
  auto array = py::reinterpret_borrow<Array>(object);
  return {array.data(), static_cast<size_t>(array.size())};
}

// A token's rows in a part, ascending, and what each adds to the score as a code (see parts.py).
struct List {
  View<uint16_t> rows;
  View<uint16_t> narrow;
  View<uint32_t> wide;
  double bound = 0;  // what no row's score from the token can reach
};

struct Phrase {
  View<int64_t> ids;  // ascending
  View<uint16_t> counts;
  double bound = 0;
};

struct Part {
  View<int64_t> ids;  // ascending
  View<uint16_t> places;
  View<double> table;
  View<double> norms;
  View<bool> live;  // of no size where nothing was deleted
  std::vector<List> lists;

  double counted(double count, size_t place) const { return count / (count + norms.data[place]); }

  double share(const List& list, size_t at) const {
    if (list.narrow.size) return table.data[list.narrow.data[at]];
    const uint32_t code = list.wide.data[at], lengths = static_cast<uint32_t>(norms.size);
    return counted(code / lengths, code % lengths);
  }
};

struct Row {
  int64_t id;
  double score;

  bool operator<(const Row& other) const { return score > other.score || (score == other.score && id < other.id); }
};

// The k best rows so far.
class Best {
 public:
  explicit Best(size_t k) : k_(k) {}

  // A row with a lower score is not among them.
  double least() const { return rows_.size() < k_ ? 0.0 : rows_.front().score; }

  void offer(Row row) {
    if (rows_.size() == k_) {
      if (!(row < rows_.front())) return;
      std::pop_heap(rows_.begin(), rows_.end());
      rows_.pop_back();
    }
    rows_.push_back(row);
    std::push_heap(rows_.begin(), rows_.end());
  }

  std::vector<Row> sorted() && {
    std::sort_heap(rows_.begin(), rows_.end());
    return std::move(rows_);
  }

 private:
  size_t k_;
  std::vector<Row> rows_;  // a heap, the worst in front
};

// The first place from `begin` on whose value is not less: found by steps that double.
template <class T>
const T* at_least(const T* begin, const T* end, T value) {
  size_t step = 1;
  while (step < static_cast<size_t>(end - begin) && begin[step] < value) {
    begin += step;
    step *= 2;
  }
  return std::lower_bound(begin, begin + std::min<size_t>(step + 1, end - begin), value);
}

class Scoring {
 public:
  Scoring(std::vector<Phrase> phrases, std::optional<View<int64_t>> eligible, size_t k)
      : phrases_(std::move(phrases)), eligible_(eligible), best_(k), scores_(kMostRows) {}

  void add(const Part& part) {
    std::fill_n(scores_.begin(), part.ids.size, 0.0);
    for (const Phrase& phrase : phrases_) add(part, phrase);
    double rest = 0;
    for (const List& list : part.lists) rest += list.bound;
    followed_ = eligible_.has_value();
    if (followed_) follow_eligible(part);
    for (const List& list : part.lists) {
      keep_hopeful(part, rest);
      if (followed_ && rows_.empty()) return;
      if (followed_ && rows_.size() * kLookUp < list.rows.size) {
        look_up(part, list);
      } else {
        walk(part, list);
      }
      rest -= list.bound;
    }
    if (!followed_) follow(part, 0.0);
    for (uint16_t row : rows_) {
      if (scores_[row] > 0) best_.offer({part.ids.data[row], scores_[row]});
    }
  }

  std::vector<Row> sorted() && { return std::move(best_).sorted(); }

 private:
  void add(const Part& part, const Phrase& phrase) {
    const int64_t *id = part.ids.data, *end = id + part.ids.size;
    const int64_t *first = phrase.ids.data, *last = first + phrase.ids.size;
    if (id == end) return;
    for (const int64_t* holder = std::lower_bound(first, last, *id); holder != last && id != end; ++holder) {
      id = at_least(id, end, *holder);
      if (id == end || *id != *holder) continue;
      const size_t row = id - part.ids.data;
      scores_[row] += phrase.bound * part.counted(phrase.counts.data[holder - first], part.places.data[row]);
    }
  }

  void walk(const Part& part, const List& list) {
    const uint16_t* rows = list.rows.data;
    if (list.narrow.size) {
      const uint16_t* codes = list.narrow.data;
      const double* table = part.table.data;
      for (size_t at = 0; at < list.rows.size; ++at) scores_[rows[at]] += list.bound * table[codes[at]];
    } else {
      for (size_t at = 0; at < list.rows.size; ++at) scores_[rows[at]] += list.bound * part.share(list, at);
    }
  }

  void look_up(const Part& part, const List& list) {
    const uint16_t *at = list.rows.data, *end = at + list.rows.size;
    for (uint16_t row : rows_) {
      at = at_least(at, end, row);
      if (at == end) return;
      if (*at == row) scores_[row] += list.bound * part.share(list, at - list.rows.data);
    }
  }

  // Let those go that cannot get among the best with all that the terms left may give.
  void keep_hopeful(const Part& part, double rest) {
    const double needed = best_.least() - rest - kRounding;
    if (needed <= 0) return;
    if (!followed_) return follow(part, needed);
    size_t kept = 0;
    for (uint16_t row : rows_) {
      rows_[kept] = row;
      kept += scores_[row] >= needed;
    }
    rows_.resize(kept);
  }

  // From now on only these rows count: the live ones that have such a score.
  void follow(const Part& part, double needed) {
    rows_.resize(part.ids.size + 1);
    size_t kept = 0;
    for (size_t row = 0; row < part.ids.size; ++row) {
      rows_[kept] = static_cast<uint16_t>(row);
      kept += scores_[row] >= needed;
    }
    rows_.resize(kept);
    keep_live(part);
    followed_ = true;
  }

  void follow_eligible(const Part& part) {
    rows_.clear();
    const int64_t *id = part.ids.data, *end = id + part.ids.size;
    if (id == end) return;
    const int64_t* last = eligible_->data + eligible_->size;
    for (const int64_t* one = std::lower_bound(eligible_->data, last, *id); one != last && id != end; ++one) {
      id = at_least(id, end, *one);
      if (id != end && *id == *one) rows_.push_back(static_cast<uint16_t>(id - part.ids.data));
    }
    keep_live(part);
  }

  void keep_live(const Part& part) {
    if (!part.live.size) return;
    const bool* live = part.live.data;
    rows_.erase(std::remove_if(rows_.begin(), rows_.end(), [live](uint16_t row) { return !live[row]; }), rows_.end());
  }

  std::vector<Phrase> phrases_;
  std::optional<View<int64_t>> eligible_;
  Best best_;
  std::vector<double> scores_;  // of each row of a part
  std::vector<uint16_t> rows_;  // that are followed, ascending
  bool followed_ = false;
};

List read_list(py::handle coded, double bound) {
  const auto pair = py::reinterpret_borrow<py::tuple>(coded);
  const auto codes = py::reinterpret_borrow<py::array>(pair[1]);
  List list;
  list.rows = view<uint16_t>(pair[0]);
  list.bound = bound;
  if (codes.itemsize() == sizeof(uint16_t)) {
    list.narrow = view<uint16_t>(codes);
  } else {
    list.wide = view<uint32_t>(codes);
  }
  if (list.narrow.size + list.wide.size != list.rows.size) throw py::value_error("a list has a code for each row");
  return list;
}

Part read_part(py::handle object, const py::sequence& words) {
  Part part;
  part.ids = view<int64_t>(object.attr("ids"));
  const py::object lengths = object.attr("lengths"), shares = object.attr("shares"), live = object.attr("live");
  const py::object segment = object.attr("segment");
  part.places = view<uint16_t>(lengths.attr("places"));
  part.table = view<double>(shares.attr("table"));
  part.norms = view<double>(shares.attr("norms"));
  if (!live.is_none()) part.live = view<bool>(live);
  if (part.ids.size > kMostRows) throw py::value_error("a part has at most 65,536 rows");
  if (part.places.size != part.ids.size || (part.live.size && part.live.size != part.ids.size)) {
    throw py::value_error("a part has a length for each row");
  }
  for (py::handle item : words) {
    const auto word = py::reinterpret_borrow<py::tuple>(item);
    PyObject* coded = PyDict_GetItemWithError(word[1].ptr(), segment.ptr());
    if (coded) part.lists.push_back(read_list(coded, py::cast<double>(word[0])));
  }
  return part;
}

py::list best(const py::sequence& parts, const py::sequence& words, const py::sequence& phrases,
              const py::object& eligible, size_t k) {
  std::vector<Part> read;
  size_t postings = 0;
  for (py::handle part : parts) {
    read.push_back(read_part(part, words));
    for (const List& list : read.back().lists) postings += list.rows.size;
  }
  std::vector<Phrase> known;
  for (py::handle item : phrases) {
    const auto phrase = py::reinterpret_borrow<py::tuple>(item);
    known.push_back({view<int64_t>(phrase[1]), view<uint16_t>(phrase[2]), py::cast<double>(phrase[0])});
    if (known.back().ids.size != known.back().counts.size) throw py::value_error("a phrase has occurrences for each chunk");
  }
  std::optional<View<int64_t>> within;
  if (!eligible.is_none()) within = view<int64_t>(eligible);
  std::vector<Row> found;
  if (k > 0) {
    std::optional<py::gil_scoped_release> unlocked;
    if (postings > kBrief) unlocked.emplace();
    Scoring scoring(std::move(known), within, k);
    for (const Part& part : read) scoring.add(part);
    found = std::move(scoring).sorted();
  }
  py::list rows;
  for (const Row& row : found) rows.append(py::make_tuple(row.id, row.score));
  return rows;
}

py::array_t<double> occurrences(const py::sequence& lists, const py::array_t<uint16_t, py::array::c_style>& rows,
                                uint32_t lengths) {
  const size_t columns = py::len(lists), count = static_cast<size_t>(rows.size());
  py::array_t<double> table({count, columns});
  double* cell = table.mutable_data();
  std::fill_n(cell, count * columns, 0.0);
  size_t column = 0;
  for (py::handle item : lists) {
    const List list = read_list(item, 0);
    const uint16_t *at = list.rows.data, *end = at + list.rows.size;
    for (size_t row = 0; row < count; ++row) {
      at = at_least(at, end, rows.data()[row]);
      if (at == end) break;
      if (*at != rows.data()[row]) continue;
      const size_t place = at - list.rows.data;
      const uint32_t code = list.narrow.size ? list.narrow.data[place] : list.wide.data[place];
      cell[row * columns + column] = (code / lengths) * 0.5;
    }
    ++column;
  }
  return table;
}

}  // namespace

PYBIND11_MODULE(kernel, module) {
  module.def("best", &best);
  module.def("occurrences", &occurrences);
}

// The inner loops over posting lists: the best rows of a question by BM25 (maxscore.hpp), how often rows hold words, what
// that gives with the words of the rows beside them, and a list's codes.
#include "maxscore.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <string>

namespace py = pybind11;

namespace {

using maxscore::at_least, maxscore::kMostRows, maxscore::List, maxscore::Part, maxscore::Phrase, maxscore::Row,
    maxscore::Scoring, maxscore::View;

constexpr size_t kBrief = 50000;  // postings; a question with fewer keeps the interpreter's lock, which it would wait for

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

// What the rows (ascending) hold of a list, each written `step` behind the one before.
void count_rows(const List& list, const std::vector<uint16_t>& rows, uint32_t lengths, double* cell, size_t step) {
  const uint16_t *at = list.rows.data, *end = at + list.rows.size;
  for (size_t row = 0; row < rows.size(); ++row, cell += step) {
    at = at_least(at, end, rows[row]);
    if (at == end) break;
    if (*at != rows[row]) continue;
    const size_t place = at - list.rows.data;
    *cell = ((list.narrow.size ? list.narrow.data[place] : list.wide.data[place]) / lengths) * 0.5;
  }
}

// Fills the rows of the table that are of this part, and says how many these are.
size_t count_part(py::handle part, const py::sequence& words, View<int64_t> chunks, double* table, size_t width) {
  const auto ids = view<int64_t>(part.attr("ids"));
  if (!ids.size) return 0;
  const py::object lengths = part.attr("lengths"), segment = part.attr("segment");
  const auto present = view<uint32_t>(lengths.attr("present"));
  const auto places = view<uint16_t>(lengths.attr("places"));
  if (places.size != ids.size) throw py::value_error("a part has a length for each row");
  const int64_t *at = ids.data, *const end = at + ids.size, *const last = chunks.data + chunks.size;
  const int64_t* chunk = std::lower_bound(chunks.data, last, *at);
  table += (chunk - chunks.data) * width;
  std::vector<uint16_t> rows;
  for (; chunk != last && (at = std::lower_bound(at, end, *chunk)) != end && *at == *chunk; ++chunk) {
    rows.push_back(static_cast<uint16_t>(at - ids.data));
    table[rows.size() * width - 1] = present.data[places.data[rows.back()]];
  }
  for (py::handle word : words) {
    PyObject* coded = word.is_none() ? nullptr : PyDict_GetItemWithError(word.ptr(), segment.ptr());
    if (coded) count_rows(read_list(coded, 0), rows, static_cast<uint32_t>(present.size), table, width);
    ++table;
  }
  return rows.size();
}

py::object occurrences(const py::sequence& parts, const py::sequence& words, const py::object& ids) {
  const auto chunks = view<int64_t>(ids);
  const size_t width = py::len(words) + 1;
  py::array_t<double> table({chunks.size, width});
  double* const cells = table.mutable_data();
  std::fill_n(cells, chunks.size * width, 0.0);
  size_t found = 0;
  for (py::handle part : parts) found += count_part(part, words, chunks, cells, width);
  return found == chunks.size ? py::object(table) : py::none();
}

// A chunk among those of its document, which follow each other.
struct Standing {
  int64_t chunk, first, number;

  // What it adds to the chunk beside this one: nothing where no such chunk is, or too many are.
  double share(int64_t other, int64_t longest) const {
    return number <= longest && first <= other && other < first + number ? 1.0 / number : 0.0;
  }
};

std::vector<Standing> standing(const py::sequence& places) {
  std::vector<Standing> read;
  for (py::handle item : places) {
    const auto place = py::reinterpret_borrow<py::tuple>(item);
    read.push_back({py::cast<int64_t>(place[0]), py::cast<int64_t>(place[1]), py::cast<int64_t>(place[2])});
  }
  return read;
}

py::array_t<int64_t> with_neighbours(const py::sequence& places, int64_t longest) {
  std::vector<int64_t> chunks;
  for (const Standing& place : standing(places)) {
    chunks.push_back(place.chunk);
    for (int64_t other : {place.chunk - 1, place.chunk + 1}) {
      if (place.share(other, longest) > 0) chunks.push_back(other);
    }
  }
  std::sort(chunks.begin(), chunks.end());
  chunks.erase(std::unique(chunks.begin(), chunks.end()), chunks.end());
  return py::array_t<int64_t>(chunks.size(), chunks.data());
}

py::dict in_context(const py::sequence& places, int64_t longest, const py::object& ids, const py::object& counts,
                    const std::vector<double>& bounds, double least, double each) {
  const auto chunks = view<int64_t>(ids);
  const auto counted = view<double>(counts);
  const size_t width = bounds.size() + 1;
  if (counted.size != chunks.size * width) throw py::value_error("a chunk has a count for each term, and its length");
  std::vector<double> sum(width);
  const auto add = [&](int64_t chunk, double share) {
    const int64_t* const end = chunks.data + chunks.size;
    const int64_t* const at = std::lower_bound(chunks.data, end, chunk);
    if (at == end || *at != chunk) throw py::value_error("what a chunk holds was not counted");
    const double* cell = counted.data + (at - chunks.data) * width;
    for (size_t term = 0; term < width; ++term) sum[term] += share * cell[term];
  };
  py::dict scores;
  for (const Standing& place : standing(places)) {
    std::fill(sum.begin(), sum.end(), 0.0);
    add(place.chunk, 1.0);
    for (int64_t other : {place.chunk - 1, place.chunk + 1}) {
      if (const double share = place.share(other, longest); share > 0) add(other, share);
    }
    const double norm = least + each * sum.back();
    double score = 0;
    for (size_t term = 0; term < bounds.size(); ++term) score += bounds[term] * sum[term] / (sum[term] + norm);
    scores[py::int_(place.chunk)] = score;
  }
  return scores;
}

// The codes of a list (parts.py, Lengths), of 16 bits where all occurrences are below `tabled`.
template <class Code>
py::array_t<Code> codes_of(View<uint16_t> rows, View<uint16_t> counts, View<uint16_t> places, uint32_t lengths) {
  py::array_t<Code> codes(rows.size);
  Code* code = codes.mutable_data();
  for (size_t at = 0; at < rows.size; ++at) code[at] = counts.data[at] * lengths + places.data[rows.data[at]];
  return codes;
}

py::array codes(const py::object& listed, const py::object& counted, const py::object& placed, uint32_t lengths,
                uint32_t tabled) {
  const auto rows = view<uint16_t>(listed), counts = view<uint16_t>(counted), places = view<uint16_t>(placed);
  if (rows.size != counts.size) throw py::value_error("a list has occurrences for each row");
  uint16_t last = 0, most = 0;
  for (size_t at = 0; at < rows.size; ++at) last = std::max(last, rows.data[at]);
  for (size_t at = 0; at < rows.size; ++at) most = std::max(most, counts.data[at]);
  if (rows.size && last >= places.size) throw py::index_error("a list has rows that are not there");
  if (rows.size && most >= tabled) return codes_of<uint32_t>(rows, counts, places, lengths);
  return codes_of<uint16_t>(rows, counts, places, lengths);
}

}  // namespace

PYBIND11_MODULE(kernel, module) {
  module.def("best", &best);
  module.def("occurrences", &occurrences);
  module.def("with_neighbours", &with_neighbours);
  module.def("in_context", &in_context);
  module.def("codes", &codes);
}

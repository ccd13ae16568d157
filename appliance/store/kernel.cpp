// The inner loops over posting lists: the best rows of a question by BM25 (maxscore.hpp), how often rows hold words,
// and a list's codes.
#include "maxscore.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

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

py::array_t<double> occurrences(const py::sequence& lists, const py::array_t<uint16_t, py::array::c_style>& rows,
                                uint32_t lengths) {
  if (!lengths) throw py::value_error("codes are made with one length at least");
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
  module.def("codes", &codes);
}

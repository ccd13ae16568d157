// Two rankings as one, by weighed scores. fuse.py says what they mean.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace py = pybind11;

namespace {

struct Item {
  py::handle id;
  double cosine, bm25;
};

py::handle id_of(py::handle row) { return PyTuple_GetItem(row.ptr(), 0); }

double score_of(py::handle row) { return py::cast<double>(PyTuple_GetItem(row.ptr(), 1)); }

py::list convex(const py::sequence& dense, const py::sequence& lexical, const py::dict& cosines, double floor,
                double alpha, double full) {
  std::vector<Item> items;
  std::unordered_map<int64_t, size_t> places;
  items.reserve(py::len(dense) + py::len(lexical));
  places.reserve(py::len(dense));
  for (py::handle row : dense) {
    places.emplace(py::cast<int64_t>(id_of(row)), items.size());
    items.push_back({id_of(row), score_of(row), floor});
  }
  const double lowest = items.empty() ? 0.0 : items.back().cosine;
  for (py::handle row : lexical) {
    const py::handle id = id_of(row);
    if (const auto found = places.find(py::cast<int64_t>(id)); found != places.end()) {
      items[found->second].bm25 = score_of(row);
    } else {
      PyObject* known = PyDict_GetItemWithError(cosines.ptr(), id.ptr());
      items.push_back({id, known ? py::cast<double>(known) : lowest, score_of(row)});
    }
  }
  const auto score = [=](const Item& item) {
    return alpha * std::clamp(item.cosine, 0.0, 1.0) + (1 - alpha) * std::min(item.bm25 / full, 1.0);
  };
  std::vector<std::pair<double, py::handle>> ranked;
  ranked.reserve(items.size());
  for (const Item& item : items) ranked.emplace_back(score(item), item.id);
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& one, const auto& two) { return one.first > two.first; });
  py::list rows(ranked.size());
  for (size_t row = 0; row < ranked.size(); ++row) rows[row] = py::make_tuple(ranked[row].second, ranked[row].first);
  return rows;
}

}  // namespace

PYBIND11_MODULE(fusion, module) { module.def("convex", &convex); }

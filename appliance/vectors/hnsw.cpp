// A graph of vectors in half precision: built by hnswlib, searched by beam.hpp, read from disk by graph_file.hpp.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "beam.hpp"
#include "graph_file.hpp"
#include "half.hpp"

namespace py = pybind11;

namespace {

using Ids = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;
using Numbers = py::array_t<float, py::array::c_style | py::array::forcecast>;

constexpr size_t kSeed = 100;
constexpr size_t kWorthThreads = 4;  // vectors for each thread; fewer are added by one

// Call `work` with each number from `first` to before `last`; the first error ends it and is raised.
template <class Work>
void each(size_t first, size_t last, size_t threads, Work work) {
  std::atomic<size_t> next{first};
  std::exception_ptr error;
  std::mutex guard;
  const auto run = [&] {
    try {
      for (size_t row; (row = next++) < last;) work(row);
    } catch (...) {
      std::lock_guard<std::mutex> held(guard);
      error = std::current_exception();
      next = last;
    }
  };
  std::vector<std::thread> others;
  try {
    for (size_t i = 1; i < threads; ++i) others.emplace_back(run);
  } catch (const std::system_error&) {  // no more threads are to be had: those that there are do it
  }
  run();
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

class Hnsw {
 public:
  Hnsw(size_t dimensions, size_t capacity, size_t m, size_t ef_construction)
      : dimensions_(dimensions), space_(dimensions), graph_(&space_, capacity, m, ef_construction, kSeed) {}

  static std::unique_ptr<Hnsw> load(const std::string& path, size_t dimensions, size_t m, size_t ef_construction) {
    graph_file::Reader reader(path);
    auto made = std::make_unique<Hnsw>(dimensions, 1, m, ef_construction);
    graph_file::read(made->graph_, made->space_, dimensions, reader);
    return made;
  }

  size_t save(const std::string& path) {
    graph_.saveIndex(path);
    return graph_.indexFileSize();
  }

  void add(const Ids& ids, const Numbers& vectors, size_t threads) {
    if (vectors.ndim() != 2 || vectors.shape(0) != ids.size() || static_cast<size_t>(vectors.shape(1)) != dimensions_) {
      throw py::value_error("expected a vector of the graph's dimensions for each id");
    }
    const size_t count = ids.size();
    const int64_t* labels = ids.data();
    const float* numbers = vectors.data();
    py::gil_scoped_release release;
    const auto put = [&](size_t row) { insert(labels[row], numbers + row * dimensions_); };
    const size_t alone = count && graph_.cur_element_count == 0 ? 1 : 0;  // the others link to it
    if (alone) put(0);
    each(alone, count, count <= threads * kWorthThreads ? 1 : threads, put);
  }

  py::tuple search(const Numbers& vector, size_t k) const {
    const std::vector<char> question = as_question(vector);
    beam::Found found;
    {
      py::gil_scoped_release release;
      found = beam::nearest(graph_, question.data(), k, graph_.ef_);
    }
    Ids ids(found.size());
    Numbers cosines(found.size());
    for (size_t i = 0; i < found.size(); ++i) {
      ids.mutable_data()[i] = static_cast<int64_t>(found[i].second);
      cosines.mutable_data()[i] = 1 - found[i].first;
    }
    return py::make_tuple(ids, cosines);
  }

  Numbers cosines(const Numbers& vector, const Ids& ids) const {
    const std::vector<char> question = as_question(vector);
    const size_t count = ids.size();
    const int64_t* labels = ids.data();
    Numbers found(count);
    float* into = found.mutable_data();
    py::gil_scoped_release release;
    std::vector<hnswlib::tableint> nodes(count);
    for (size_t i = 0; i < count; ++i) nodes[i] = node_of(labels[i]);
    for (size_t i = 0; i < count; ++i) {
      if (i + beam::kAhead < count) beam::ask_for(graph_.getDataByInternalId(nodes[i + beam::kAhead]), graph_.data_size_);
      into[i] = 1 - beam::distance(graph_, question.data(), nodes[i]);
    }
    return found;
  }

  void remove(const Ids& ids) {
    for (py::ssize_t i = 0; i < ids.size(); ++i) graph_.markDelete(ids.data()[i]);
  }

  Numbers vectors(const Ids& ids) const {
    Numbers found({static_cast<size_t>(ids.size()), dimensions_});
    for (py::ssize_t i = 0; i < ids.size(); ++i) {
      space_.read(graph_.getDataByInternalId(node_of(ids.data()[i])), found.mutable_data(i));
    }
    return found;
  }

  Ids ids() const {
    Ids held(graph_.cur_element_count.load());
    for (py::ssize_t i = 0; i < held.size(); ++i) held.mutable_data()[i] = graph_.getExternalLabel(i);
    return held;
  }

  void resize(size_t capacity) { graph_.resizeIndex(capacity); }
  void set_ef(size_t ef) { graph_.setEf(ef); }
  size_t ef() const { return graph_.ef_; }
  size_t count() const { return graph_.cur_element_count; }
  size_t capacity() const { return graph_.max_elements_; }

 private:
  std::vector<char> as_question(const Numbers& vector) const {
    if (static_cast<size_t>(vector.size()) != dimensions_) throw py::value_error("a question has other dimensions");
    return space_.question(vector.data());
  }

  hnswlib::tableint node_of(int64_t label) const {
    const auto node = graph_.label_lookup_.find(label);
    if (node == graph_.label_lookup_.end()) throw py::key_error("the graph does not hold this id");
    return node->second;
  }

  void insert(int64_t label, const float* numbers) {
    std::vector<char> vector(space_.get_data_size());
    space_.write(numbers, vector.data());
    graph_.addPoint(vector.data(), label);
  }

  size_t dimensions_;
  half::Space space_;
  beam::Graph graph_;
};

void raise(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::system_error& found) {
    errno = found.code().value();
    PyErr_SetFromErrno(PyExc_OSError);
  }
}

}  // namespace

PYBIND11_MODULE(hnsw, module) {
  using namespace py::literals;
  using release = py::call_guard<py::gil_scoped_release>;
  py::register_local_exception_translator(raise);
  py::class_<Hnsw>(module, "Hnsw")
      .def(py::init<size_t, size_t, size_t, size_t>(), "dimensions"_a, "capacity"_a, "m"_a, "ef_construction"_a)
      .def_static("load", &Hnsw::load, "path"_a, "dimensions"_a, "m"_a, "ef_construction"_a, release())
      .def("save", &Hnsw::save, "path"_a, release())
      .def("add", &Hnsw::add, "ids"_a, "vectors"_a, "threads"_a)
      .def("search", &Hnsw::search, "vector"_a, "k"_a)
      .def("cosines", &Hnsw::cosines, "vector"_a, "ids"_a)
      .def("remove", &Hnsw::remove, "ids"_a)
      .def("vectors", &Hnsw::vectors, "ids"_a)
      .def("ids", &Hnsw::ids)
      .def("resize", &Hnsw::resize, "capacity"_a, release())
      .def_property("ef", &Hnsw::ef, &Hnsw::set_ef)
      .def_property_readonly("count", &Hnsw::count)
      .def_property_readonly("capacity", &Hnsw::capacity);
}

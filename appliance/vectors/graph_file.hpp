// Reads the file that hnswlib writes (0.8.0, hnswalg.h, saveIndex) from its first byte to its last, in large pieces.
//
// Nothing in it is trusted but its bytes: no link is followed, so that its checksum may be made meanwhile.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "half.hpp"
#include "hnswlib/hnswlib.h"

namespace graph_file {

using Graph = hnswlib::HierarchicalNSW<float>;

constexpr size_t kBuffer = 1 << 20;  // bytes
constexpr size_t kMostLevels = 64;

struct Torn : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Raises std::system_error, and Torn where the file ends too soon.
class Reader {
 public:
  explicit Reader(const std::string& path) : file_(std::fopen(path.c_str(), "rb"), std::fclose), path_(path) {
    if (!file_) fail();
    std::setvbuf(file_.get(), nullptr, _IOFBF, kBuffer);
  }

  void read(void* to, size_t bytes) {
    if (std::fread(to, 1, bytes, file_.get()) == bytes) return;
    if (std::ferror(file_.get())) fail();
    throw Torn("the file is shorter than it says");
  }

  size_t size() const {
    struct stat status;
    if (::fstat(::fileno(file_.get()), &status)) fail();
    return status.st_size;
  }

  bool ended() { return std::fgetc(file_.get()) == EOF; }

 private:
  [[noreturn]] void fail() const { throw std::system_error(errno, std::generic_category(), path_); }

  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::string path_;
};

struct Head {
  uint64_t offset, capacity, count, element, label, data;
  int32_t top;
  uint32_t entry;
  uint64_t upper_links, ground_links, m;
  double multiplier;
  uint64_t ef_construction;
};
static_assert(sizeof(Head) == 6 * 8 + 2 * 4 + 5 * 8, "the file has no gaps");

// A node of the lowest layer is its links, its vector and its label. hnswlib's own files have vectors of float32.
inline void read_whole_numbers(Graph& graph, const half::Space& space, Reader& reader, size_t element) {
  const size_t links = graph.size_links_level0_, label = sizeof(hnswlib::labeltype);
  std::vector<char> node(element);
  std::vector<float> numbers((element - links - label) / sizeof(float));
  for (size_t i = 0; i < graph.cur_element_count; ++i) {
    reader.read(node.data(), element);
    std::memcpy(numbers.data(), node.data() + links, numbers.size() * sizeof(float));
    char* made = graph.data_level0_memory_ + i * graph.size_data_per_element_;
    std::memcpy(made, node.data(), links);
    space.write(numbers.data(), made + links);
    std::memcpy(made + graph.label_offset_, node.data() + element - label, label);
  }
}

inline void read_upper_layers(Graph& graph, Reader& reader) {
  const size_t count = graph.cur_element_count, row = graph.size_links_per_element_;
  graph.label_lookup_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    graph.label_lookup_[graph.getExternalLabel(i)] = i;
    if (graph.isMarkedDeleted(i)) ++graph.num_deleted_;
    uint32_t bytes;
    reader.read(&bytes, sizeof bytes);
    if (bytes == 0) continue;
    if (bytes % row || bytes / row > kMostLevels) throw Torn("a node's layers do not fit together");
    graph.linkLists_[i] = static_cast<char*>(std::malloc(bytes));
    if (!graph.linkLists_[i]) throw std::bad_alloc();
    graph.element_levels_[i] = static_cast<int>(bytes / row);
    reader.read(graph.linkLists_[i], bytes);
  }
}

// Fill an empty graph. Raises Torn unless the file was written by one with the same parameters and is whole.
inline void read(Graph& graph, const half::Space& space, size_t dimensions, Reader& reader) {
  Head head;
  reader.read(&head, sizeof head);
  const size_t links = graph.size_links_level0_;
  const size_t whole_numbers = links + dimensions * sizeof(float) + sizeof(hnswlib::labeltype);
  if (head.offset != 0 || head.data != links || head.m != graph.M_ || head.ground_links != graph.maxM0_ ||
      head.ef_construction != graph.ef_construction_ ||
      !(head.element == graph.size_data_per_element_ || head.element == whole_numbers)) {
    throw Torn("the file was written with other parameters");
  }
  if (head.count > reader.size() / head.element || head.entry >= head.count || head.top < 0 ||
      head.top > static_cast<int>(kMostLevels)) {
    throw Torn("the sizes in the file do not fit together");
  }
  graph.resizeIndex(std::clamp(head.capacity, head.count, head.count + head.count / 8));
  graph.cur_element_count = head.count;
  if (head.element == whole_numbers) {
    read_whole_numbers(graph, space, reader, head.element);
  } else {
    reader.read(graph.data_level0_memory_, head.count * head.element);
  }
  read_upper_layers(graph, reader);
  if (!reader.ended()) throw Torn("the file is longer than it says");
  graph.maxlevel_ = head.top;
  graph.enterpoint_node_ = head.entry;
}

}  // namespace graph_file

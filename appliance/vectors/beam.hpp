// The search of a graph (Malkov & Yashunin, 2018, algorithms 2 and 5), for graphs that are larger than any cache: what a
// node is linked with is asked of memory all at once, before the first of it is looked at.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <queue>
#include <utility>
#include <vector>

#include "hnswlib/hnswlib.h"

namespace beam {

using Graph = hnswlib::HierarchicalNSW<float>;
using Node = hnswlib::tableint;
using Near = std::pair<float, Node>;
using Heap = std::priority_queue<Near>;
using Found = std::vector<std::pair<float, hnswlib::labeltype>>;

constexpr size_t kLine = 64;  // bytes
constexpr size_t kAhead = 2;  // vectors on their way while one is compared

struct Links {
  const Node* nodes;
  size_t count;
  const Node* begin() const { return nodes; }
  const Node* end() const { return nodes + count; }
};

inline Links links_of(const Graph& graph, Node node, int level) {
  auto* row = level ? graph.get_linklist(node, level) : graph.get_linklist0(node);
  return {row + 1, graph.getListCount(row)};
}

inline float distance(const Graph& graph, const void* question, Node node) {
  return graph.fstdistfunc_(question, graph.getDataByInternalId(node), graph.dist_func_param_);
}

inline void ask_for(const char* memory, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(memory + at);
}

// The nodes that one search has seen; given back to the graph at its end.
class Seen {
 public:
  explicit Seen(const Graph& graph) : pool_(*graph.visited_list_pool_), list_(pool_.getFreeVisitedList()) {}
  ~Seen() { pool_.releaseVisitedList(list_); }
  Seen(const Seen&) = delete;
  Seen& operator=(const Seen&) = delete;

  void ask_for(Node node) const { __builtin_prefetch(list_->mass + node); }
  bool add(Node node) { return std::exchange(list_->mass[node], list_->curV) != list_->curV; }

 private:
  hnswlib::VisitedListPool& pool_;
  hnswlib::VisitedList* list_;
};

// The node above the lowest layer from which no other that it is linked with is nearer.
inline Near descend(const Graph& graph, const void* question) {
  Near at{distance(graph, question, graph.enterpoint_node_), graph.enterpoint_node_};
  for (int level = graph.maxlevel_; level > 0; --level) {
    for (Node from = at.second + 1; from != at.second;) {
      from = at.second;
      for (Node node : links_of(graph, from, level)) at = std::min(at, Near{distance(graph, question, node), node});
    }
  }
  return at;
}

// Up to `width` nearest nodes that are not removed, the farthest on top.
inline Heap widen(const Graph& graph, const void* question, Near entry, size_t width) {
  Seen seen(graph);
  Heap best, next;  // of `next` the nearest is on top
  std::vector<Node> fresh(graph.maxM0_);
  const auto keep = [&](Near found) {
    next.emplace(-found.first, found.second);
    ask_for(reinterpret_cast<const char*>(graph.get_linklist0(next.top().second)), graph.size_links_level0_);
    if (graph.isMarkedDeleted(found.second)) return;
    best.push(found);
    if (best.size() > width) best.pop();
  };
  seen.add(entry.second);
  keep(entry);
  while (!next.empty() && (best.size() < width || -next.top().first <= best.top().first)) {
    const Links links = links_of(graph, next.top().second, 0);
    next.pop();
    for (Node node : links) seen.ask_for(node);
    const auto end = std::copy_if(links.begin(), links.end(), fresh.begin(), [&](Node node) { return seen.add(node); });
    const size_t count = end - fresh.begin();
    const auto coming = [&](size_t i) {
      if (i < count) ask_for(graph.getDataByInternalId(fresh[i]), graph.data_size_);
    };
    for (size_t i = 0; i < kAhead; ++i) coming(i);
    for (size_t i = 0; i < count; ++i) {
      coming(i + kAhead);
      const float far = distance(graph, question, fresh[i]);
      if (best.size() < width || far < best.top().first) keep({far, fresh[i]});
    }
  }
  return best;
}

// (distance, label) of up to k nearest that are not removed, nearest first; `width` (ef) candidates are kept, at least k.
inline Found nearest(const Graph& graph, const void* question, size_t k, size_t width) {
  if (!graph.cur_element_count) return {};
  Heap best = widen(graph, question, descend(graph, question), std::max(k, width));
  while (best.size() > k) best.pop();
  Found found(best.size());
  for (auto at = found.rbegin(); at != found.rend(); ++at, best.pop()) {
    *at = {best.top().first, graph.getExternalLabel(best.top().second)};
  }
  return found;
}

}  // namespace beam

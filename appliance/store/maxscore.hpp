// A part of a collection is scored a term at a time, the weightiest first, as in MaxScore (Turtle and Flood 1995, "Query
// evaluation: strategies and optimizations"): once the terms that are left cannot lift a row with none of the others
// among the k best, only the rows that may still get there are followed, and these alone are looked up in long lists.
// No row is lost: a row is let go where its score with all that the terms left may give stays below the k-th best.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace maxscore {

constexpr size_t kMostRows = 65536;  // of a part: rows are numbered in 16 bits
constexpr size_t kLookUp = 8;        // a row looked up costs as much as so many of a walk through a list
constexpr double kRounding = 1e-9;

template <class T>
struct View {
  const T* data = nullptr;
  size_t size = 0;
};

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

}  // namespace maxscore

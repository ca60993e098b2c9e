// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/data/detail/lap_timer.hpp"
#include "contrapunto/data/loader_statistics.hpp"
#include "contrapunto/data/text_pairs.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/text/tokenizer.hpp"

namespace contrapunto {

struct TextPairLoaderOptions {
  std::int64_t batch_size = 256;    ///< Pairs in a batch of this rank.
  std::int64_t hard_negatives = 0;  ///< Hard negatives per pair: ys of other pairs of the same
                                    ///< group.
  std::uint64_t seed = 0;
  Ranks ranks = {};  ///< Ranks that share an epoch; the default is one process.
};

/// Loads batches of text pairs that are tokenized once and kept in memory. A batch holds "x" and
/// "y", int64 [B, L] padded with 0, and with hard negatives "negatives" [B, K, L]. The keys are the
/// numbers of the pairs. An epoch is a permutation of the pairs, which is a pure function of their
/// number, the seed and the epoch. Full batches are consecutive parts of it, and the rows of a
/// batch are divided among the ranks.
class TextPairLoader {
 public:
  /// Raises if an option is out of range or if the pairs do not fill one batch per rank.
  TextPairLoader(const std::vector<TextPair>& pairs, const Tokenizer& x, const Tokenizer& y,
                 TextPairLoaderOptions options = {})
      : o_(std::move(options)) {
    std::vector<std::string> xs, ys;
    std::map<std::string, std::vector<std::int64_t>> groups;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      xs.push_back(pairs[i].x);
      ys.push_back(pairs[i].y);
      if (!pairs[i].group.empty()) groups[pairs[i].group].push_back(static_cast<std::int64_t>(i));
    }
    TORCH_CHECK(o_.batch_size > 0, "TextPairLoader: batch_size (", o_.batch_size,
                ") must be positive");
    TORCH_CHECK(o_.hard_negatives >= 0, "TextPairLoader: hard_negatives (", o_.hard_negatives,
                ") must not be negative");
    TORCH_CHECK(size_of(pairs) >= pairs_together(), "TextPairLoader: ", pairs.size(),
                " pairs are fewer than one batch of ", o_.batch_size, " on each of ",
                o_.ranks.size(), " ranks; lower batch_size");
    TORCH_CHECK(o_.hard_negatives == 0 || pairs.size() > 1,
                "TextPairLoader: a single pair has no other pair that could be its hard negative");
    x_ = x.encode_all(xs);
    y_ = y.encode_all(ys);
    group_of_.resize(pairs.size(), -1);
    for (auto& [_, members] : groups) {
      for (const auto member : members)
        group_of_[static_cast<std::size_t>(member)] = static_cast<std::int64_t>(groups_.size());
      groups_.push_back(std::move(members));
    }
  }

  /// Number of pairs, and number of batches in an epoch.
  [[nodiscard]] std::int64_t size() const { return x_.size(0); }
  [[nodiscard]] std::int64_t batches_per_epoch() const { return size() / pairs_together(); }

  /// The epoch that was started last.
  [[nodiscard]] std::int64_t epoch() const { return epoch_; }

  /// Starts epoch `epoch` at pair number `first_sample`, counted over all ranks, from 0 to size().
  /// Raises for a negative epoch and for a `first_sample` out of range.
  void start_epoch(std::int64_t epoch, std::int64_t first_sample = 0) {
    TORCH_CHECK(epoch >= 0, "TextPairLoader: epoch (", epoch, ") must not be negative");
    TORCH_CHECK(0 <= first_sample && first_sample <= size(), "TextPairLoader: first_sample (",
                first_sample, ") must be from 0 to the number of pairs (", size(),
                "); a position in an epoch is valid only for the data it was saved with");
    epoch_ = epoch;
    next_ = first_sample;
  }

  /// Saves `epoch` and `samples`, the number of pairs that next() has returned since the start of
  /// the epoch, over all ranks.
  [[nodiscard]] State save_state() const {
    State state;
    state.scalars = {{"epoch", epoch_}, {"samples", next_}};
    return state;
  }

  /// Resumes the epoch of `state` at the pair after those that were returned.
  void load_state(const State& state) {
    start_epoch(state.scalar<std::int64_t>("epoch"), state.scalar<std::int64_t>("samples"));
  }

  /// `times.wait` is the time that next() spent on making batches.
  [[nodiscard]] LoaderStatistics statistics() const { return statistics_; }

  /// Returns the next batch, or nothing at the end of the epoch.
  [[nodiscard]] std::optional<Batch> next() {
    if (size() - next_ < pairs_together()) return std::nullopt;
    detail::LapTimer timer;
    const Permutation order(size(), o_.seed, static_cast<std::uint64_t>(epoch_));
    auto rows = at::empty({o_.batch_size}, at::kLong);
    auto* row = rows.mutable_data_ptr<std::int64_t>();
    Batch batch;
    const std::int64_t begin = next_ + o_.ranks.rank() * o_.batch_size;
    next_ += pairs_together();
    for (std::int64_t i = 0; i < o_.batch_size; ++i) {
      row[i] = order(begin + i);
      batch.keys.push_back(std::to_string(row[i]));
    }
    batch.tensors = {{"x", trimmed(x_.index_select(0, rows))},
                     {"y", trimmed(y_.index_select(0, rows))}};
    if (o_.hard_negatives > 0) {
      auto others = at::empty({o_.batch_size * o_.hard_negatives}, at::kLong);
      auto* other = others.mutable_data_ptr<std::int64_t>();
      for (std::int64_t i = 0; i < o_.batch_size; ++i) {
        // Stream numbers that are not used by the permutation.
        RandomStream random(o_.seed, static_cast<std::uint64_t>(epoch_),
                            (std::uint64_t{1} << 40) + static_cast<std::uint64_t>(row[i]));
        for (std::int64_t k = 0; k < o_.hard_negatives; ++k) *other++ = another(row[i], random);
      }
      batch.tensors.emplace(
          "negatives",
          trimmed(y_.index_select(0, others)).view({o_.batch_size, o_.hard_negatives, -1}));
    }
    ++statistics_.batches;
    statistics_.samples += batch.size();
    timer.add_to(statistics_.times.wait);
    return batch;
  }

 private:
  /// Number of pairs in one batch, over all ranks.
  [[nodiscard]] std::int64_t pairs_together() const { return o_.batch_size * o_.ranks.size(); }

  static std::int64_t size_of(const std::vector<TextPair>& pairs) {
    return static_cast<std::int64_t>(pairs.size());
  }

  /// Removes the columns that are padding in every row.
  static at::Tensor trimmed(const at::Tensor& tokens) {
    const auto longest = tokens.argmax(1).max().item<std::int64_t>() + 1;
    return tokens.narrow(1, 0, longest).contiguous();
  }

  /// Returns another pair of the group of `pair`, or any other pair if the group has no other.
  [[nodiscard]] std::int64_t another(std::int64_t pair, RandomStream& random) const {
    const auto number = group_of_[static_cast<std::size_t>(pair)];
    const auto* group = number < 0 ? nullptr : &groups_[static_cast<std::size_t>(number)];
    if (group != nullptr && group->size() < 2) group = nullptr;
    const auto count = group != nullptr ? static_cast<std::int64_t>(group->size()) : size();
    for (;;) {
      const auto draw = random.integer(count);
      const auto other = group != nullptr ? (*group)[static_cast<std::size_t>(draw)] : draw;
      if (other != pair) return other;
    }
  }

  TextPairLoaderOptions o_;
  at::Tensor x_, y_;                               // int64 [N, L], padded with 0
  std::vector<std::vector<std::int64_t>> groups_;  // Pairs of each group.
  std::vector<std::int64_t> group_of_;             // Group of each pair; -1: none.
  std::int64_t epoch_ = 0;
  std::int64_t next_ = 0;  // Position in the epoch.
  LoaderStatistics statistics_;
};
static_assert(Loader<TextPairLoader>);

}  // namespace contrapunto

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
#include "contrapunto/core/random.hpp"
#include "contrapunto/data/text_pairs.hpp"
#include "contrapunto/text/tokenizer.hpp"

namespace contrapunto {

struct TextPairLoaderOptions {
  std::int64_t batch_size = 256;    ///< Pairs in one batch of this rank.
  std::int64_t hard_negatives = 0;  ///< ys of other pairs of the group, for each pair.
  std::uint64_t seed = 0;
  std::int64_t rank = 0;        ///< This rank takes every `world_size`-th run of pairs.
  std::int64_t world_size = 1;  ///< Ranks that share an epoch.
};

/// Batches of text pairs that were tokenised once and are kept in memory. A batch holds "x" and
/// "y", int64 [B, L] padded with 0, and with hard negatives "negatives" [B, K, L]; keys are the
/// numbers of the pairs. An epoch is a permutation of the pairs, cut into full batches; what batch
/// b of epoch e holds is a pure function of the pairs, the seed, the ranks and (e, b).
class TextPairLoader {
 public:
  /// Raises when a rank would not get one full batch.
  TextPairLoader(const std::vector<TextPair>& pairs, const Tokenizer& x, const Tokenizer& y,
                 TextPairLoaderOptions options = {})
      : o_(options) {
    std::vector<std::string> xs, ys;
    std::map<std::string, std::vector<std::int64_t>> groups;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      xs.push_back(pairs[i].x);
      ys.push_back(pairs[i].y);
      if (!pairs[i].group.empty()) groups[pairs[i].group].push_back(static_cast<std::int64_t>(i));
    }
    TORCH_CHECK(o_.batch_size > 0 && o_.hard_negatives >= 0 && o_.world_size > 0 && o_.rank >= 0 &&
                    o_.rank < o_.world_size,
                "TextPairLoader: batch_size (", o_.batch_size,
                ") must be positive, hard_negatives (", o_.hard_negatives, ") not negative, rank (",
                o_.rank, ") one of world_size (", o_.world_size, ")");
    TORCH_CHECK(size_of(pairs) >= o_.batch_size * o_.world_size, "TextPairLoader: ", pairs.size(),
                " pairs are less than one batch of ", o_.batch_size, " on each of ", o_.world_size,
                " ranks; lower batch_size");
    TORCH_CHECK(o_.hard_negatives == 0 || pairs.size() > 1,
                "TextPairLoader: one pair has no other pair for a hard negative");
    x_ = x.encode_all(xs);
    y_ = y.encode_all(ys);
    group_of_.resize(pairs.size(), -1);
    for (auto& [_, members] : groups) {
      for (const auto member : members)
        group_of_[static_cast<std::size_t>(member)] = static_cast<std::int64_t>(groups_.size());
      groups_.push_back(std::move(members));
    }
  }

  [[nodiscard]] std::int64_t size() const { return x_.size(0); }
  [[nodiscard]] std::int64_t batches_per_epoch() const {
    return size() / (o_.batch_size * o_.world_size);
  }

  /// Begins epoch `epoch` at batch `first_batch`.
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0) {
    TORCH_CHECK(epoch >= 0 && first_batch >= 0 && first_batch <= batches_per_epoch(),
                "TextPairLoader: epoch (", epoch, ") must not be negative, first_batch (",
                first_batch, ") from 0 to batches_per_epoch (", batches_per_epoch(), ")");
    epoch_ = epoch;
    next_ = first_batch;
  }

  /// The next batch, or nothing at the end of the epoch.
  [[nodiscard]] std::optional<Batch> next() {
    if (next_ >= batches_per_epoch()) return std::nullopt;
    const Permutation order(size(), o_.seed, static_cast<std::uint64_t>(epoch_));
    auto rows = at::empty({o_.batch_size}, at::kLong);
    auto* row = rows.mutable_data_ptr<std::int64_t>();
    Batch batch;
    const auto begin = (next_++ * o_.world_size + o_.rank) * o_.batch_size;
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
        // Stream numbers behind those of the permutation.
        RandomStream random(o_.seed, static_cast<std::uint64_t>(epoch_),
                            (std::uint64_t{1} << 40) + static_cast<std::uint64_t>(row[i]));
        for (std::int64_t k = 0; k < o_.hard_negatives; ++k) *other++ = another(row[i], random);
      }
      batch.tensors.emplace(
          "negatives",
          trimmed(y_.index_select(0, others)).view({o_.batch_size, o_.hard_negatives, -1}));
    }
    return batch;
  }

 private:
  static std::int64_t size_of(const std::vector<TextPair>& pairs) {
    return static_cast<std::int64_t>(pairs.size());
  }

  /// Without the columns that are padding in every row.
  static at::Tensor trimmed(const at::Tensor& tokens) {
    const auto longest = tokens.argmax(1).max().item<std::int64_t>() + 1;
    return tokens.narrow(1, 0, longest).contiguous();
  }

  /// A pair of the group of `pair` but not itself; of all pairs where the group has no other.
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
  std::vector<std::vector<std::int64_t>> groups_;  // pairs of each
  std::vector<std::int64_t> group_of_;             // of each pair; -1: none
  std::int64_t epoch_ = 0;
  std::int64_t next_ = 0;
};

}  // namespace contrapunto

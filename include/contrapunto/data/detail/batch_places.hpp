// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>

#include "contrapunto/data/loader_options.hpp"

namespace contrapunto::detail {

/// The places that the rows of batches have in an epoch of `epoch_samples` samples. Batches are
/// consecutive parts of the epoch from `first_sample` on.
class BatchPlaces {
 public:
  /// Rows of one batch on this rank: row r has place `first + r * stride`.
  struct Rows {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };

  /// Raises if the data does not fill one batch per rank.
  BatchPlaces(const LoaderOptions& options, std::int64_t epoch_samples)
      : batch_size_(options.batch_size),
        rank_(options.ranks.rank()),
        ranks_(options.ranks.size()),
        train_(options.train),
        lanes_(options.read_ahead.enabled()),
        epoch_samples_(epoch_samples) {
    TORCH_CHECK(batches_from(0) > 0, "DataLoader: ", epoch_samples_,
                " samples do not fill one batch of ", batch_size_, " on ", ranks_,
                " ranks; lower batch_size to at most ", epoch_samples_ / ranks_);
  }

  void start(std::int64_t first_sample) { first_sample_ = first_sample; }

  /// Number of samples in one batch, over all ranks.
  [[nodiscard]] std::int64_t samples_together() const { return batch_size_ * ranks_; }

  /// Number of batches from sample `first_sample` to the end of the epoch.
  [[nodiscard]] std::int64_t batches_from(std::int64_t first_sample) const {
    const std::int64_t left = epoch_samples_ - first_sample;
    const std::int64_t together = samples_together();
    return train_ ? left / together : (left + together - 1) / together;
  }

  /// The place of the first sample of batch `batch`, over all ranks.
  [[nodiscard]] std::int64_t begin_of(std::int64_t batch) const {
    return first_sample_ + batch * samples_together();
  }

  /// The rows of this rank. A rank has consecutive places of a batch, or those of its lanes, which
  /// are every n-th.
  [[nodiscard]] Rows rows_of(std::int64_t batch) const {
    const std::int64_t first = begin_of(batch);
    if (lanes_) return {first + rank_, batch_size_};
    const std::int64_t left = std::min(samples_together(), epoch_samples_ - first);
    const std::int64_t begin = left * rank_ / ranks_;
    return {first + begin, left * (rank_ + 1) / ranks_ - begin};
  }

  [[nodiscard]] std::int64_t stride() const { return lanes_ ? ranks_ : 1; }

 private:
  std::int64_t batch_size_;
  std::int64_t rank_;
  std::int64_t ranks_;
  bool train_;
  bool lanes_;
  std::int64_t epoch_samples_;
  std::int64_t first_sample_ = 0;
};

}  // namespace contrapunto::detail

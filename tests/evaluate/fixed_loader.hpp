// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto::test {

/// Returns rows of fixed features as batches of images, a part of them on each rank.
class FixedLoader {
 public:
  FixedLoader(at::Tensor images, at::Tensor labels, std::int64_t batch_size)
      : images_(std::move(images)), labels_(std::move(labels)), batch_size_(batch_size) {}
  void start_epoch(std::int64_t epoch, std::int64_t first_sample = 0) {
    epoch_ = epoch;
    next_ = first_sample;
  }
  [[nodiscard]] std::optional<Batch> next() {
    if (next_ > images_.size(0)) return std::nullopt;  // the last batch is empty
    const auto end = std::min(next_ + batch_size_, images_.size(0));
    Batch batch;
    batch.tensors.emplace("image", images_.slice(0, next_, end));
    if (end > next_) batch.tensors.emplace("label", labels_.slice(0, next_, end));
    next_ += batch_size_;
    return batch;
  }
  [[nodiscard]] std::int64_t epoch() const { return epoch_; }
  [[nodiscard]] std::int64_t batches_per_epoch() const { return images_.size(0) / batch_size_ + 1; }
  struct Statistics {
    struct {
      double wait = 0.0;
    } times = {};
  };
  [[nodiscard]] Statistics statistics() const { return {}; }
  [[nodiscard]] State save_state() const { return {}; }
  void load_state(const State& /*state*/) {}

 private:
  at::Tensor images_, labels_;
  std::int64_t batch_size_;
  std::int64_t epoch_ = 0;
  std::int64_t next_ = 0;
};
static_assert(Loader<FixedLoader>);

}  // namespace contrapunto::test

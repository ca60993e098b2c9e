// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/source_part.hpp"

namespace contrapunto::detail {

/// Gives the samples of another source in another form. Everything but read() is that of the other
/// source; read_range() calls read().
class ForwardingSource : public SampleSource {
 public:
  /// `user` begins the message for a null source.
  ForwardingSource(std::shared_ptr<const SampleSource> source, const char* user)
      : source_(std::move(source)) {
    TORCH_CHECK(source_ != nullptr, user, ": no source given");
    report_ = source_->report();
    notes_ = source_->notes();
  }

  [[nodiscard]] std::int64_t size() const override { return source_->size(); }
  [[nodiscard]] EncodedSample read_without_image(std::int64_t index) const override {
    return source_->read_without_image(index);
  }
  [[nodiscard]] std::string location(std::int64_t index) const override {
    return source_->location(index);
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    return source_->label(index);
  }
  [[nodiscard]] std::vector<std::string> class_names() const override {
    return source_->class_names();
  }
  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override {
    return source_->shard_sizes();
  }
  [[nodiscard]] std::vector<SourcePart> parts() const override { return source_->parts(); }
  [[nodiscard]] std::vector<DataShard> shards() const override { return source_->shards(); }
  void will_visit(const std::vector<std::int64_t>& shards, std::int64_t window) const override {
    source_->will_visit(shards, window);
  }

 protected:
  [[nodiscard]] const SampleSource& wrapped() const { return *source_; }

 private:
  std::shared_ptr<const SampleSource> source_;
};

}  // namespace contrapunto::detail

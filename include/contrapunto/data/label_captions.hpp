// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/read_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/source_part.hpp"
#include "contrapunto/text/fill_prompt.hpp"

namespace contrapunto {

/// A labeled source whose captions are made from the class names, so that a set for classification
/// can train a model of images and texts. Templates may begin with a word that marks the data set.
/// Samples without a label keep their captions.
class LabelCaptions : public SampleSource {
 public:
  /// {} in `templates` is replaced by the class name. Each template gives one caption of a sample,
  /// and all are equally likely. Raises if the source has no class names, if there is no template,
  /// and for one without {}.
  LabelCaptions(std::shared_ptr<const SampleSource> source,
                const std::vector<std::string>& templates)
      : source_(std::move(source)) {
    TORCH_CHECK(source_ != nullptr, "LabelCaptions: no source given");
    TORCH_CHECK(!templates.empty(), "LabelCaptions: no template given");
    const auto names = source_->class_names();
    TORCH_CHECK(!names.empty(),
                "LabelCaptions: the source has no class names; write classes.txt, with a name on "
                "each line, beside its first shard");
    for (const auto& name : names) {
      auto& captions = captions_.emplace_back();
      for (const auto& pattern : templates) captions.push_back(fill_prompt(pattern, name));
    }
    report_ = source_->report();
    notes_ = source_->notes();
  }

  [[nodiscard]] std::int64_t size() const override { return source_->size(); }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    EncodedSample sample = source_->read(index);
    set_captions(sample);
    return sample;
  }

  [[nodiscard]] std::vector<ReadSample> read_range(std::int64_t begin,
                                                   std::int64_t end) const override {
    auto samples = source_->read_range(begin, end);
    for (auto& [sample, problem] : samples) {
      if (!problem.empty()) continue;
      try {
        set_captions(sample);
      } catch (const DataError& error) {
        problem = error.what();
      }
    }
    return samples;
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

 private:
  void set_captions(EncodedSample& sample) const {
    if (!sample.label) return;
    if (*sample.label < 0 || *sample.label >= std::ssize(captions_))
      throw DataError(sample.source + ": " + sample.key + ": label " +
                      std::to_string(*sample.label) + " has no name; there are " +
                      std::to_string(captions_.size()) + " class names");
    sample.captions = captions_[static_cast<std::size_t>(*sample.label)];
    sample.caption_weights.clear();
  }

  std::shared_ptr<const SampleSource> source_;
  std::vector<std::vector<std::string>> captions_;  // By class.
};

}  // namespace contrapunto

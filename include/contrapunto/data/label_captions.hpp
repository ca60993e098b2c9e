// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/detail/forwarding_source.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/read_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/text/fill_prompt.hpp"

namespace contrapunto {

/// A labeled source whose captions are made from the class names, so that a set for classification
/// can train a model of images and texts. Templates may begin with a word that marks the data set.
/// Samples without a label keep their captions.
class LabelCaptions : public detail::ForwardingSource {
 public:
  /// {} in `templates` is replaced by the class name. Each template gives one caption of a sample,
  /// and all are equally likely. Raises if the source has no class names, if there is no template,
  /// and for one without {}.
  LabelCaptions(std::shared_ptr<const SampleSource> source,
                const std::vector<std::string>& templates)
      : ForwardingSource(std::move(source), "LabelCaptions") {
    TORCH_CHECK(!templates.empty(), "LabelCaptions: no template given");
    const auto names = class_names();
    TORCH_CHECK(!names.empty(),
                "LabelCaptions: the source has no class names; write classes.txt, with a name on "
                "each line, beside its first shard");
    for (const auto& name : names) {
      auto& captions = captions_.emplace_back();
      for (const auto& pattern : templates) captions.push_back(fill_prompt(pattern, name));
    }
  }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    EncodedSample sample = wrapped().read(index);
    set_captions(sample);
    return sample;
  }

  [[nodiscard]] EncodedSample read_without_image(std::int64_t index) const override {
    EncodedSample sample = wrapped().read_without_image(index);
    set_captions(sample);
    return sample;
  }

  [[nodiscard]] std::vector<ReadSample> read_range(std::int64_t begin,
                                                   std::int64_t end) const override {
    auto samples = wrapped().read_range(begin, end);
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

  std::vector<std::vector<std::string>> captions_;  // By class.
};

}  // namespace contrapunto

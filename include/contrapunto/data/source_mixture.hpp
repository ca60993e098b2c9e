// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/read_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/source_part.hpp"

namespace contrapunto {

/// Several sources as one, whose samples follow each other. With shares, a loader draws from each
/// source in proportion to its share and not to its size; see SampleSource::parts().
///
/// Labels are kept only if all sources have the same class names, because equal numbers would mean
/// different classes otherwise.
class SourceMixture : public SampleSource {
 public:
  struct Member {
    std::shared_ptr<const SampleSource> source = {};
    std::string name = {};  ///< For messages and notes.
    double share = 0.0;     ///< Up to a common factor.
  };

  /// Raises if there is no source, if one is null or empty, and if some shares are 0 and others are
  /// not.
  explicit SourceMixture(std::vector<Member> members) : members_(std::move(members)) {
    TORCH_CHECK(!members_.empty(), "SourceMixture: no source given");
    const bool has_shares = members_.front().share != 0.0;
    bool same_classes = true;
    std::int64_t end = 0;
    for (const Member& member : members_) {
      TORCH_CHECK(member.source != nullptr, "SourceMixture: the source '", member.name,
                  "' is null");
      const SampleSource& source = *member.source;
      TORCH_CHECK(source.size() > 0, "SourceMixture: the source '", member.name,
                  "' holds no sample");
      TORCH_CHECK((member.share != 0.0) == has_shares,
                  "SourceMixture: give each source a share, or none of them");
      TORCH_CHECK(source.parts().empty(), "SourceMixture: the source '", member.name,
                  "' is a mixture itself; give its sources instead");
      ends_.push_back(end += source.size());
      const auto sizes = source.shard_sizes();
      shard_sizes_.insert(shard_sizes_.end(), sizes.begin(), sizes.end());
      if (has_shares)
        parts_.push_back({member.name, static_cast<std::int64_t>(sizes.size()), member.share});
      report_.add(source.report());
      for (const auto& note : source.notes()) notes_.push_back(member.name + ": " + note);
      same_classes &= source.class_names() == members_.front().source->class_names();
    }
    if (same_classes)
      class_names_ = members_.front().source->class_names();
    else
      notes_.push_back("the sources have different classes, so labels are left out");
    keeps_labels_ = same_classes;
  }

  [[nodiscard]] std::int64_t size() const override { return ends_.back(); }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    const auto [member, own] = locate(index);
    EncodedSample sample = member->source->read(own);
    if (!keeps_labels_) sample.label = std::nullopt;
    return sample;
  }

  [[nodiscard]] EncodedSample read_without_image(std::int64_t index) const override {
    const auto [member, own] = locate(index);
    EncodedSample sample = member->source->read_without_image(own);
    if (!keeps_labels_) sample.label = std::nullopt;
    return sample;
  }

  [[nodiscard]] std::vector<ReadSample> read_range(std::int64_t begin,
                                                   std::int64_t end) const override {
    std::vector<ReadSample> samples;
    while (begin < end) {
      const auto [member, own] = locate(begin);
      const std::int64_t count = std::min(end - begin, member->source->size() - own);
      auto range = member->source->read_range(own, own + count);
      std::move(range.begin(), range.end(), std::back_inserter(samples));
      begin += count;
    }
    for (auto& read : samples)
      if (!keeps_labels_) read.sample.label = std::nullopt;
    return samples;
  }

  [[nodiscard]] std::string location(std::int64_t index) const override {
    const auto [member, own] = locate(index);
    return member->source->location(own);
  }

  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    const auto [member, own] = locate(index);
    return keeps_labels_ ? member->source->label(own) : std::nullopt;
  }

  [[nodiscard]] std::vector<std::string> class_names() const override { return class_names_; }
  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override { return shard_sizes_; }
  [[nodiscard]] std::vector<SourcePart> parts() const override { return parts_; }

  void will_visit(const std::vector<std::int64_t>& shards, std::int64_t window) const override {
    std::int64_t begin = 0;
    for (const Member& member : members_) {
      const std::int64_t end = begin + std::ssize(member.source->shard_sizes());
      std::vector<std::int64_t> own;
      for (const std::int64_t shard : shards)
        if (begin <= shard && shard < end) own.push_back(shard - begin);
      member.source->will_visit(own, window);
      begin = end;
    }
  }

  [[nodiscard]] std::vector<DataShard> shards() const override {
    std::vector<DataShard> shards;
    for (const Member& member : members_)
      for (auto& shard : member.source->shards()) shards.push_back(std::move(shard));
    return shards;
  }

 private:
  [[nodiscard]] std::pair<const Member*, std::int64_t> locate(std::int64_t index) const {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "SourceMixture: sample ", index, " of ",
                      size());
    const auto member = static_cast<std::size_t>(
        std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
    return {&members_[member], index - (member == 0 ? 0 : ends_[member - 1])};
  }

  std::vector<Member> members_;
  std::vector<std::int64_t> ends_;  // Index after the last sample of each member.
  std::vector<std::int64_t> shard_sizes_;
  std::vector<SourcePart> parts_;
  std::vector<std::string> class_names_;
  bool keeps_labels_ = true;
};

}  // namespace contrapunto

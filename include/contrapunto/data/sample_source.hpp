// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/data_report.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/equal_shards.hpp"
#include "contrapunto/data/encoded_sample.hpp"

namespace contrapunto {

/// Provides samples by index. It is an interface because the kind of source is chosen at run time.
/// Derive from it to read a custom format.
class SampleSource {
 public:
  SampleSource() = default;
  SampleSource(const SampleSource&) = delete;
  SampleSource& operator=(const SampleSource&) = delete;
  virtual ~SampleSource() = default;

  /// Number of samples.
  [[nodiscard]] virtual std::int64_t size() const = 0;

  /// Returns sample `index`, 0 <= index < size(). Many threads call it at once. Raise DataError if
  /// this sample cannot be used; any other exception ends the run.
  [[nodiscard]] virtual EncodedSample read(std::int64_t index) const = 0;

  /// Returns read(index) without the image, and with its size in `image_bytes`. An image cache,
  /// which has an image of its own, calls it. The default reads the whole sample; override it if
  /// the rest can be read more cheaply.
  [[nodiscard]] virtual EncodedSample read_without_image(std::int64_t index) const {
    EncodedSample sample = read(index);
    sample.image_bytes = sample.image.size();
    sample.image.clear();
    return sample;
  }

  /// Returns the label of sample `index`, or nothing if it has none. Raise DataError if the label
  /// cannot be read. The default reads the whole sample; override it if the label can be read more
  /// cheaply.
  [[nodiscard]] virtual std::optional<std::int64_t> label(std::int64_t index) const {
    return read(index).label;
  }

  /// Names of the classes, indexed by label; empty if there are none.
  [[nodiscard]] virtual std::vector<std::string> class_names() const { return {}; }

  /// Sizes of the groups of consecutive samples that are best read together; they add up to size().
  [[nodiscard]] virtual std::vector<std::int64_t> shard_sizes() const { return {size()}; }

  /// Divides the samples, in their order, into shards with an identity; see DataShard. Embeddings
  /// of a teacher are stored by shard. The default reads every sample for its key; override it if
  /// the keys can be read more cheaply.
  [[nodiscard]] virtual std::vector<DataShard> shards() const {
    return detail::equal_shards("samples", size(), [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t sum = 0;
      for (std::int64_t index = begin; index < end; ++index) {
        std::string key;
        try {
          key = read(index).key;
        } catch (const DataError&) {
          key = "unusable";
        }
        sum = checksum_of(key, sum);
      }
      return sum;
    });
  }

  /// What was found to be unusable when the source was opened.
  [[nodiscard]] const DataReport& report() const { return report_; }

  /// What a user should know about how the source was opened; usually nothing.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 protected:
  DataReport report_;
  std::vector<std::string> notes_;
};

}  // namespace contrapunto

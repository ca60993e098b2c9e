// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
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
#include "contrapunto/data/read_sample.hpp"
#include "contrapunto/data/source_part.hpp"

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

  /// Returns the samples from `begin` to `end`. A sample that cannot be used has a problem instead;
  /// what read() raises otherwise ends the run. The default calls read() for each. Override it if
  /// samples next to each other can be read at once.
  [[nodiscard]] virtual std::vector<ReadSample> read_range(std::int64_t begin,
                                                           std::int64_t end) const {
    std::vector<ReadSample> samples(static_cast<std::size_t>(end - begin));
    for (std::int64_t index = begin; index < end; ++index) {
      auto& [sample, problem] = samples[static_cast<std::size_t>(index - begin)];
      try {
        sample = read(index);
      } catch (const DataError& error) {
        problem = error.what();
      }
    }
    return samples;
  }

  /// Returns the name of the file or folder that holds sample `index`, for messages.
  [[nodiscard]] virtual std::string location(std::int64_t index) const {
    return "sample " + std::to_string(index);
  }

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

  /// Parts of the source whose samples have shares of their own in an epoch of training; empty: an
  /// epoch visits all samples equally.
  [[nodiscard]] virtual std::vector<SourcePart> parts() const { return {}; }

  /// An epoch begins that visits shards in the order `shards`, which are numbers of entries of
  /// shard_sizes(), `window` of them at the same time (0: all). A source may read ahead.
  virtual void will_visit(const std::vector<std::int64_t>& /*shards*/,
                          std::int64_t /*window*/) const {}

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

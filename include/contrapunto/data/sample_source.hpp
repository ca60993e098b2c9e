// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/data/data_report.hpp"
#include "contrapunto/data/encoded_sample.hpp"

namespace contrapunto {

/// Where samples come from, by index. It is an interface because the kind of source that a run
/// reads is decided at run time. Derive from it to read a format of your own.
class SampleSource {
 public:
  SampleSource() = default;
  SampleSource(const SampleSource&) = delete;
  SampleSource& operator=(const SampleSource&) = delete;
  virtual ~SampleSource() = default;

  [[nodiscard]] virtual std::int64_t size() const = 0;

  /// Sample `index`, 0 <= index < size(). Called by many threads at once. Raises DataError when
  /// this sample cannot be used; any other exception ends the run.
  [[nodiscard]] virtual EncodedSample read(std::int64_t index) const = 0;

  /// The label of sample `index`, nothing when it has none. Raises DataError when the label cannot
  /// be read. The default reads the whole sample; override it where the label is cheaper.
  [[nodiscard]] virtual std::optional<std::int64_t> label(std::int64_t index) const {
    return read(index).label;
  }

  /// Name of each class that labels count; empty where there are none.
  [[nodiscard]] virtual std::vector<std::string> class_names() const { return {}; }

  /// Samples in each run of neighbours that is best read together; they add up to size().
  [[nodiscard]] virtual std::vector<std::int64_t> shard_sizes() const { return {size()}; }

  /// What was found unusable when the source was opened.
  [[nodiscard]] const DataReport& report() const { return report_; }

 protected:
  DataReport report_;
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/detail/printable.hpp"
#include "contrapunto/data/sample_source.hpp"

namespace contrapunto {

/// The counts of `check_labels`.
struct LabelCounts {
  std::vector<std::int64_t> samples_of;  ///< [classes] Number of samples of each class.

  /// Returns the classes without a sample, for example if the list of names is longer than the data
  /// needs.
  [[nodiscard]] std::vector<std::int64_t> unseen() const {
    std::vector<std::int64_t> classes;
    for (std::size_t i = 0; i < samples_of.size(); ++i)
      if (samples_of[i] == 0) classes.push_back(static_cast<std::int64_t>(i));
    return classes;
  }
};

/// Reads the label of every sample of `source` without decoding images, and counts the labels by
/// class. An evaluation needs a label from 0 to classes - 1 on every sample, or any label from 0 on
/// if `classes` is not given. Call this before the training, so that a problem in the evaluation
/// data shows before the first step. Raises if a label is missing, cannot be read or is out of
/// range; the message names the sample, file, value and remedy.
[[nodiscard]] inline LabelCounts check_labels(const SampleSource& source,
                                              std::optional<std::int64_t> classes = std::nullopt) {
  TORCH_CHECK(classes.value_or(1) > 0,
              "check_labels: there are no class names; give one name for each label");
  const auto sample_name = [&](std::int64_t index) -> std::string {
    try {
      const EncodedSample sample = source.read(index);
      return "sample '" + detail::printable(sample.key) + "' of '" + sample.source + "'";
    } catch (const DataError& error) {
      return "sample " + std::to_string(index) + " (" + detail::printable(error.what()) + ")";
    }
  };
  constexpr const char* kWhere =
      "Labels come from the cls member of a sample in tar shards, from "
      "CsvSourceOptions::label_column in lists, and from the folders of classes";
  constexpr std::int64_t kMostClasses = std::int64_t{1} << 24;  // more is a mistake in the data
  LabelCounts counts;
  counts.samples_of.resize(static_cast<std::size_t>(classes.value_or(0)));
  std::int64_t missing = 0;
  std::int64_t first_missing = 0;
  for (std::int64_t i = 0; i < source.size(); ++i) {
    std::optional<std::int64_t> label;
    try {
      label = source.label(i);
    } catch (const DataError& error) {
      TORCH_CHECK(false, "check_labels: a label cannot be read: ", detail::printable(error.what()),
                  ". Repair the sample or remove it from the data");
    }
    if (!label) {
      if (missing++ == 0) first_missing = i;
      continue;
    }
    TORCH_CHECK(classes || (0 <= *label && *label < kMostClasses), "check_labels: the label of ",
                sample_name(i), " is ", *label, "; labels run from 0 to the number of classes - 1");
    TORCH_CHECK(!classes || (0 <= *label && *label < *classes), "check_labels: the label of ",
                sample_name(i), " is ", *label, ", but there are ", *classes,
                " class names, so labels run from 0 to ", *classes - 1,
                ". Pass the list of names that belongs to this data");
    if (*label >= std::ssize(counts.samples_of))
      counts.samples_of.resize(static_cast<std::size_t>(*label) + 1);
    ++counts.samples_of[static_cast<std::size_t>(*label)];
  }
  TORCH_CHECK(missing < source.size(), "check_labels: none of the ", source.size(),
              " samples has a label (the first is ", sample_name(0), "). ", kWhere);
  TORCH_CHECK(missing == 0, "check_labels: ", missing, " of ", source.size(),
              " samples have no label; the first is ", sample_name(first_missing), ". ", kWhere);
  return counts;
}

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/check_labels.hpp"
#include "contrapunto/data/sample_source.hpp"

namespace contrapunto {

/// The classes that a classifier learns.
struct LabeledClasses {
  std::vector<std::string> names = {};  ///< Indexed by label.
  LabelCounts counts = {};              ///< Samples of the training data.

  [[nodiscard]] std::int64_t size() const { return std::ssize(names); }

  /// Names the classes without a training sample, up to ten of them; empty if there are none.
  [[nodiscard]] std::vector<std::string> notes() const {
    const auto unseen = counts.unseen();
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < std::min<std::size_t>(unseen.size(), 10); ++i)
      lines.push_back("train-data has no sample of class " + std::to_string(unseen[i]) + ", '" +
                      names[static_cast<std::size_t>(unseen[i])] + "'");
    if (unseen.size() > lines.size())
      lines.push_back("and none of " + std::to_string(unseen.size() - lines.size()) + " more");
    return lines;
  }
};

/// Returns the classes of the training data `source`. `names` are their names; if there are none,
/// they are those of the source, and otherwise "class 0", "class 1" and so on up to the largest
/// label. Reads the label of every sample. Raises as check_labels() does, and if there are fewer
/// than two classes.
[[nodiscard]] inline LabeledClasses labeled_classes(const SampleSource& source,
                                                    std::vector<std::string> names = {}) {
  LabeledClasses classes{.names = std::move(names)};
  if (classes.names.empty()) classes.names = source.class_names();
  if (classes.names.empty()) {
    classes.counts = check_labels(source);
    for (std::int64_t i = 0; i < std::ssize(classes.counts.samples_of); ++i)
      classes.names.push_back("class " + std::to_string(i));
  } else {
    classes.counts = check_labels(source, classes.size());
  }
  const auto seen = classes.size() - std::ssize(classes.counts.unseen());
  TORCH_CHECK(seen >= 2, "labeled_classes: the training data has samples of ", seen,
              " class, and a classifier needs at least two");
  return classes;
}

/// Checks the labels of the evaluation data `source` of a classifier of `classes`, which was
/// trained on `training`. Raises as check_labels() does, and if both sources name their classes and
/// the names differ, because a label would then mean another class.
inline void check_evaluation_classes(const SampleSource& source, const SampleSource& training,
                                     const LabeledClasses& classes) {
  const auto own = source.class_names(), trained = training.class_names();
  if (!own.empty() && !trained.empty() && own != trained) {
    const auto [a, b] = std::mismatch(own.begin(), own.end(), trained.begin(), trained.end());
    TORCH_CHECK(false, "check_evaluation_classes: the evaluation data has ", own.size(),
                " classes and the training data ", trained.size(), ", and class ",
                std::distance(own.begin(), a), " is '", a == own.end() ? "" : *a, "' there and '",
                b == trained.end() ? "" : *b,
                "' here; give both the same folders of classes, or the same classes.txt");
  }
  static_cast<void>(check_labels(source, classes.size()));
}

}  // namespace contrapunto

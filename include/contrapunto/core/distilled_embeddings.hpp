// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <vector>

#include "contrapunto/core/embeddings.hpp"

namespace contrapunto {

/// The embeddings of the same batch of pairs by a student, which is trained, and by its teachers,
/// which are not. Row i of every tensor belongs to pair i. The widths of student and teachers may
/// differ.
struct DistilledEmbeddings {
  Embeddings student = {};
  std::vector<Embeddings> teachers = {};
  /// The student's embeddings in the width of each teacher, rows of unit length, for losses that
  /// compare features; see FeatureMaps. Empty if the widths are equal.
  std::vector<Embeddings> mapped = {};

  /// Returns the student's embeddings to compare with the features of teacher `k`. Raises if there
  /// are maps, but none for this teacher.
  [[nodiscard]] const Embeddings& student_for(std::size_t k) const {
    TORCH_CHECK(mapped.empty() || k < mapped.size(), "DistilledEmbeddings: there are ",
                mapped.size(), " maps of the student's features, but none for teacher ", k);
    return mapped.empty() ? student : mapped[k];
  }
};

}  // namespace contrapunto

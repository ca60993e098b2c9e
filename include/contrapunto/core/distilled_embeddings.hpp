// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "contrapunto/core/embeddings.hpp"

namespace contrapunto {

/// The embeddings of the same batch of pairs by a student, which is trained, and by its teachers,
/// which are not. Row i of every tensor belongs to pair i. The widths of student and teachers may
/// differ.
struct DistilledEmbeddings {
  Embeddings student = {};
  std::vector<Embeddings> teachers = {};
};

}  // namespace contrapunto

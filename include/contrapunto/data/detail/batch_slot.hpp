// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/data/detail/batch_builder.hpp"

namespace contrapunto::detail {

/// A batch that threads of a DataLoader prepare together.
struct BatchSlot {
  BatchSlot(std::int64_t first_place, std::int64_t rows, const BatchBuilder::Options& tensors)
      : builder(first_place, rows, tensors) {}

  BatchBuilder builder;
  Batch batch;
  bool ready = false;
  std::exception_ptr error;
};

}  // namespace contrapunto::detail

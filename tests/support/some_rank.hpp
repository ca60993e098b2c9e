// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto::test {

/// Rank `rank` of `size`, for code that only reads the number of its rank. It sends nothing to
/// other ranks.
class SomeRank : public SingleProcess {
 public:
  SomeRank(std::int64_t rank, std::int64_t size) : rank_(rank), size_(size) {}
  [[nodiscard]] std::int64_t rank() const { return rank_; }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  std::int64_t rank_;
  std::int64_t size_;
};

}  // namespace contrapunto::test

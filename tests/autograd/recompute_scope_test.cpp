// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/autograd/recompute_scope.hpp"

#include <thread>

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Recompute scopes nest and end with the outermost one", "[core][cpu]") {
  CHECK_FALSE(is_recomputing());
  {
    const RecomputeScope outer;
    CHECK(is_recomputing());
    { const RecomputeScope inner; }
    CHECK(is_recomputing());
  }
  CHECK_FALSE(is_recomputing());
}

TEST_CASE("A recompute scope is visible only in its own thread", "[core][cpu]") {
  const RecomputeScope scope;
  bool elsewhere = true;
  std::thread([&] { elsewhere = is_recomputing(); }).join();
  CHECK_FALSE(elsewhere);
}

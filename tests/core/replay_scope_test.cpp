// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/replay_scope.hpp"

#include <thread>

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Replay scopes nest and end with the outermost", "[core][cpu]") {
  CHECK_FALSE(replaying());
  {
    const ReplayScope outer;
    CHECK(replaying());
    { const ReplayScope inner; }
    CHECK(replaying());
  }
  CHECK_FALSE(replaying());
}

TEST_CASE("A replay scope is seen by its own thread alone", "[core][cpu]") {
  const ReplayScope scope;
  bool elsewhere = true;
  std::thread([&] { elsewhere = replaying(); }).join();
  CHECK_FALSE(elsewhere);
}

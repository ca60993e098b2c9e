// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/error_text.hpp"

#include <stdexcept>

#include "support/catch.hpp"

using contrapunto::error_text;

TEST_CASE("The text of an error has the message and not the backtrace", "[core][cpu]") {
  REQUIRE(error_text(std::runtime_error("disk full")) == "disk full");
  try {
    TORCH_CHECK(false, "batch_size (", 0, ") must be positive");
  } catch (const std::exception& error) {
    REQUIRE(error_text(error) == "batch_size (0) must be positive");
  }
}

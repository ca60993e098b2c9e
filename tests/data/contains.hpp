// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "support/catch.hpp"

namespace contrapunto::test {

/// Matches texts that contain `part`; Catch2 2 and 3 have different names for it.
inline auto contains(const std::string& part) {
#if __has_include(<catch2/catch.hpp>)
  return Catch::Contains(part);
#else
  return Catch::Matchers::ContainsSubstring(part);
#endif
}

}  // namespace contrapunto::test

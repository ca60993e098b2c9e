// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace contrapunto {

/// A sample, or a part of a file, that cannot be used: corrupt, truncated, too large. The loader
/// skips, counts and names what raised it; every other exception ends the run.
class DataError : public std::runtime_error {
 public:
  explicit DataError(const std::string& reason) : std::runtime_error(reason) {}
};

}  // namespace contrapunto

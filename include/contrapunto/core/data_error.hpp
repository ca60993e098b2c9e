// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace contrapunto {

/// A sample, or a part of a file, that cannot be used because it is corrupt, truncated or too
/// large. The loader skips, counts and reports such samples. Every other exception ends the run.
class DataError : public std::runtime_error {
 public:
  explicit DataError(const std::string& reason) : std::runtime_error(reason) {}
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "contrapunto/data/encoded_sample.hpp"

namespace contrapunto {

/// A sample of a range, or why it cannot be used.
struct ReadSample {
  EncodedSample sample = {};
  std::string problem = {};  ///< Empty if the sample can be used.
};

}  // namespace contrapunto

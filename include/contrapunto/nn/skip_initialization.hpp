// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "contrapunto/nn/detail/initialize.hpp"

namespace contrapunto {

/// While it lives, modules of the library that this thread makes leave their random weights
/// undefined, which saves the time of drawing them and the memory until they are written. It is for
/// models whose weights are all loaded at once.
class [[nodiscard]] SkipInitialization {
 public:
  SkipInitialization() : outer_(std::exchange(detail::skips_initialization, true)) {}
  ~SkipInitialization() { detail::skips_initialization = outer_; }
  SkipInitialization(const SkipInitialization&) = delete;
  SkipInitialization& operator=(const SkipInitialization&) = delete;

 private:
  bool outer_;
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

namespace detail {

inline thread_local int recompute_depth = 0;  ///< RecomputeScopes that live on this thread.

}  // namespace detail

/// While it lives, this thread repeats a forward that has already run once. Scopes nest. Modules
/// that learn in their forward, as batch norm does, ask is_recomputing() and leave their state
/// alone.
class RecomputeScope {
 public:
  [[nodiscard]] RecomputeScope() { ++detail::recompute_depth; }
  ~RecomputeScope() { --detail::recompute_depth; }
  RecomputeScope(const RecomputeScope&) = delete;
  RecomputeScope& operator=(const RecomputeScope&) = delete;
};

/// Whether this thread repeats a forward: running statistics must not be updated a second time.
[[nodiscard]] inline bool is_recomputing() {
  return detail::recompute_depth > 0;
}

}  // namespace contrapunto

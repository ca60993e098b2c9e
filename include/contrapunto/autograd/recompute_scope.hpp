// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

namespace detail {

inline thread_local int recompute_depth = 0;  ///< Number of RecomputeScopes on this thread.

}  // namespace detail

/// Marks that this thread repeats a forward that has already run. Scopes may be nested. Modules
/// that update state in their forward, as batch norm does, check is_recomputing() and leave their
/// state unchanged.
class RecomputeScope {
 public:
  [[nodiscard]] RecomputeScope() { ++detail::recompute_depth; }
  ~RecomputeScope() { --detail::recompute_depth; }
  RecomputeScope(const RecomputeScope&) = delete;
  RecomputeScope& operator=(const RecomputeScope&) = delete;
};

/// Returns whether this thread repeats a forward. Running statistics must then not be updated
/// again.
[[nodiscard]] inline bool is_recomputing() {
  return detail::recompute_depth > 0;
}

}  // namespace contrapunto

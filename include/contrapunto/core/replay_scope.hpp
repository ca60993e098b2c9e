// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

namespace detail {

inline thread_local int replay_depth = 0;  ///< ReplayScopes that live on this thread.

}  // namespace detail

/// While it lives, this thread repeats a forward that has already run once. Scopes nest. Modules
/// that learn in their forward, as batch norm does, ask replaying() and leave their state alone.
class ReplayScope {
 public:
  ReplayScope() { ++detail::replay_depth; }
  ~ReplayScope() { --detail::replay_depth; }
  ReplayScope(const ReplayScope&) = delete;
  ReplayScope& operator=(const ReplayScope&) = delete;
};

/// Whether this thread repeats a forward: running statistics must not be updated a second time.
[[nodiscard]] inline bool replaying() {
  return detail::replay_depth > 0;
}

}  // namespace contrapunto

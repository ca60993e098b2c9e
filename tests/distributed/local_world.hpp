// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/distributed/launch_environment.hpp"
#include "contrapunto/distributed/process_group.hpp"
#include "distributed/rank_processes.hpp"

namespace contrapunto::test {

/// Gloo on 127.0.0.1 with a timeout of 15 s.
inline ProcessGroupOptions local_options() {
  ProcessGroupOptions options;
  options.timeout = std::chrono::seconds(15);
  options.gloo_address = "127.0.0.1";
  options.gloo_threads = 1;
  return options;
}

/// A rank's side of run_local_ranks. The store lives as long as the object. Rank 0 hosts it, so end
/// with a barrier.
struct LocalWorld {
  LaunchEnvironment launch;
  c10::intrusive_ptr<c10d::Store> store;
  ProcessGroupCommunicator world;
};

/// Returns nothing when this process is not a rank: Catch 2 runs hidden tests when it is given only
/// exclusions.
inline std::optional<LocalWorld> join_local_world() {
  if (::getenv("CONTRAPUNTO_TEST_RANKS") == nullptr) return std::nullopt;
  const auto launch = read_launch_environment(::getenv);
  const auto store = open_tcp_store(launch, local_options().timeout);
  return LocalWorld{launch, store, connect_gloo(store, launch.rank, launch.size, local_options())};
}

/// Runs the hidden test case `name` on `size` ranks over Gloo; true when every check of every rank
/// held.
inline bool run_local_ranks(const std::string& name, int size) {
  const auto codes = run_ranks(name, size,
                               {{"MASTER_ADDR", "127.0.0.1"},
                                {"MASTER_PORT", std::to_string(free_port())},
                                {"CONTRAPUNTO_TEST_RANKS", "1"}});
  return codes == std::vector<int>(static_cast<std::size_t>(size), 0);
}

}  // namespace contrapunto::test

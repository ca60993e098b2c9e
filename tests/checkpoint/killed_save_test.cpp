// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <thread>

#include "contrapunto/checkpoint/checkpoint_folder.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using contrapunto::test::TemporaryFolder;

namespace {

std::map<std::string, State> filled_with(std::int64_t step) {
  State model;
  model.tensors["w"] = torch::full({20'000}, step);
  model.scalars["step"] = step;
  return {{"model", model}};
}

/// Saves one checkpoint after another, and each step twice, so that folders are replaced as well.
[[noreturn]] void save_until_killed(const CheckpointFolder& folder, std::int64_t step) {
  try {
    for (;; ++step) {
      folder.save(step, filled_with(step), 0.5);
      folder.save(step, filled_with(step), 0.5);
    }
  } catch (...) {
    ::_exit(1);
  }
}

}  // namespace

TEST_CASE("A process that is killed while saving leaves only complete checkpoints",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path(), {.last = 2});
  std::int64_t step = 1;
  folder.save(step, filled_with(step));
  constexpr int kKills = 10;
  for (int kill = 0; kill < kKills; ++kill) {
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) save_until_killed(folder, step + 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(3 + 7 * kill));
    // The last one lives until it has saved something, however slow the disk is.
    for (int wait = 0; kill + 1 == kKills && wait < 2000 && folder.latest()->step == step; ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));  // The signal ended it, not an error.

    const auto latest = folder.latest();
    REQUIRE(latest);
    REQUIRE(latest->step >= step + (kill + 1 == kKills));
    step = latest->step;
    for (const auto& saved : folder.list()) {
      REQUIRE(saved.problem.empty());
      const auto model = load_checkpoint(saved.path).at("model");
      REQUIRE(model.scalar<std::int64_t>("step") == saved.step);
      REQUIRE(model.tensor("w").eq(saved.step).all().item<bool>());
    }
  }
  folder.save(step + 1, filled_with(step + 1));  // Removes what the killed processes left.
  for (const auto& name : disk.names()) REQUIRE(name.find(".tmp-") == std::string::npos);
}

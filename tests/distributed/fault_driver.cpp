// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// A rank of a run that fault_check.py kills, stops or misconfigures. Prints "PID n" when it begins,
// "STEP n" after each step, "WAITING" when the fault may come, and why it ended. Ends with 0 when
// all is well, 3 when the watchdog ended it, 4 after an error.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/distributed/join_ranks.hpp"
#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

void say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

constexpr std::int64_t kFaultStep = 5;

JoinOptions options(const std::string& scenario) {
  JoinOptions options{.device = "cpu",
                      .timeout = milliseconds(std::atoi(::getenv("FAULT_TIMEOUT_MS"))),
                      .collective_timeout = seconds(60)};
  options.watchdog = {.interval = milliseconds(100),
                      .timeout = milliseconds(2500),
                      .stall_timeout = milliseconds(2500)};
  if (scenario.starts_with("default handler")) return options;
  options.on_failure = [](const std::string& why) {
    say("WATCHDOG " + why);
    ::_exit(3);
  };
  return options;
}

void run(const std::string& scenario, Ranks& ranks) {
  if (scenario == "options") {
    say("ARRIVAL " + std::to_string(JoinOptions{}.timeout / seconds(1)));
    return;
  }
  TORCH_CHECK(scenario != "flags" || std::string(::getenv("RANK")) != "1", "no such flag");
  ranks = join_ranks(options(scenario));
  const bool last = ranks.rank() == ranks.size() - 1;
  if (scenario == "configuration")
    check_same_on_all_ranks(
        ranks, "the settings",
        std::vector<std::pair<std::string, std::string>>{
            {"model", "ViT-B-32"}, {"batch_size", ranks.rank() == 1 ? "512" : "256"}});

  for (std::int64_t step = 0; step < 8; ++step) {
    if (step == kFaultStep && scenario == "stall" && last) {
      say("WAITING");
      std::this_thread::sleep_for(seconds(60));  // as if for data
    }
    ranks.progress(step);
    if (step == kFaultStep && scenario == "error" && last) throw std::runtime_error("no data left");
    // The other ranks enter the collective; the rank with the fault, which reports it, comes too
    // late.
    if (step == kFaultStep && scenario.ends_with("wait " + std::to_string(ranks.rank()))) {
      std::this_thread::sleep_for(milliseconds(300));
      say("WAITING");
      std::this_thread::sleep_for(seconds(60));
    }
    if (scenario == "nan") {
      auto x = at::ones({4, 8});
      if (step == kFaultStep && last) x[2][3] = std::numeric_limits<float>::quiet_NaN();
      try {
        (void)TiledInfoNce({}, ranks)({x, x, at::ones({})});
      } catch (const std::exception& error) {
        // All ranks raise in this step, so each reports it before one of them ends.
        say("RAISED " + error_text(error));
        std::this_thread::sleep_for(seconds(1));
        throw;
      }
    }
    auto sum = at::ones({1000});
    ranks.all_reduce_sum_(sum);
    TORCH_CHECK(sum[0].item<float>() == static_cast<float>(ranks.size()), "wrong sum");
    say("STEP " + std::to_string(step));
  }
  if (scenario == "clean" && ranks.rank() != 0) std::this_thread::sleep_for(seconds(1));
  ranks.sign_off();
}

}  // namespace

int main(int, char** argv) {
  say("PID " + std::to_string(::getpid()));
  Ranks ranks;
  try {
    run(argv[1], ranks);
  } catch (const std::exception& error) {
    say("ERROR " + ranks.explain(error));
    return 4;
  }
  say("END");
  return 0;
}

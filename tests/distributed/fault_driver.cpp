// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// A rank of a run that fault_check.py kills, stops or misconfigures. Prints "PID n" when it begins,
// "STEP n" after each step, "WAITING" when the fault may come, and why it ended. Ends with 0 when
// all is well, 3 when the monitor ended it, 4 after an error.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/distributed/process_group.hpp"
#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/distributed/rank_watchdog.hpp"
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

void run(const std::string& scenario) {
  const auto launch = read_launch_environment(::getenv);
  ProcessGroupOptions options;
  options.timeout = milliseconds(std::atoi(::getenv("FAULT_TIMEOUT_MS")));
  options.gloo_address = "127.0.0.1";
  options.gloo_threads = 1;
  const auto store = open_tcp_store(launch, options.timeout);
  const auto world = connect_gloo(store, launch.rank, launch.size, options);
  const bool last = launch.rank == launch.size - 1;
  if (scenario == "configuration")
    check_same_on_all_ranks(world, "batch size", launch.rank == 1 ? 512 : 256);

  RankWatchdog monitor(store, launch.rank, launch.size,
                       [](const std::string& why) {
                         say("MONITOR " + why);
                         ::_exit(3);
                       },
                       {.interval = milliseconds(100),
                        .timeout = milliseconds(2500),
                        .stall_timeout = milliseconds(2500)});
  for (std::int64_t step = 0; step < 8; ++step) {
    if (step == kFaultStep && scenario == "stall" && last) {
      say("WAITING");
      std::this_thread::sleep_for(seconds(60));  // as if for data
    }
    monitor.progress(step);
    if (step == kFaultStep && scenario == "error" && last) throw std::runtime_error("no data left");
    // The others enter the collective; the one that is to suffer, and says so, comes too late.
    if (step == kFaultStep && scenario == "wait " + std::to_string(launch.rank)) {
      std::this_thread::sleep_for(milliseconds(300));
      say("WAITING");
      std::this_thread::sleep_for(seconds(60));
    }
    if (scenario == "nan") {
      auto x = at::ones({4, 8});
      if (step == kFaultStep && last) x[2][3] = std::numeric_limits<float>::quiet_NaN();
      try {
        (void)TiledInfoNce({}, world)({x, x, at::ones({})});
      } catch (const std::exception& error) {
        // All ranks raise in this step, so each says it before one of them is gone.
        say("RAISED " + error_text(error));
        std::this_thread::sleep_for(seconds(1));
        throw;
      }
    }
    try {
      auto sum = at::ones({1000});
      world.all_reduce_sum_(sum);
      TORCH_CHECK(sum[0].item<float>() == static_cast<float>(launch.size), "wrong sum");
    } catch (const std::exception&) {
      say("COLLECTIVE RAISED");
      (void)monitor.wait_for_failure();  // the callback ends the process
      throw;
    }
    say("STEP " + std::to_string(step));
  }
  if (scenario == "clean" && launch.rank != 0) std::this_thread::sleep_for(seconds(1));
  monitor.sign_off();
}

}  // namespace

int main(int, char** argv) {
  say("PID " + std::to_string(::getpid()));
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    say("ERROR " + error_text(error));
    return 4;
  }
  say("END");
  return 0;
}

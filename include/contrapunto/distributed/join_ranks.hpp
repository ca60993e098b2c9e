// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>
#include <torch/cuda.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/distributed/launch_environment.hpp"
#include "contrapunto/distributed/rank_watchdog_options.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/distributed/single_process.hpp"
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include "contrapunto/distributed/process_group.hpp"
#include "contrapunto/distributed/rank_watchdog.hpp"
#endif

namespace contrapunto {

struct JoinOptions {
  /// Device on which this rank trains: "cpu", "cuda" (the GPU of its local rank) or "cuda:N". Empty
  /// means "cuda" if LibTorch finds a GPU and "cpu" otherwise.
  std::string device = {};
  /// Time to wait for the other ranks to arrive.
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
  /// Time that a collective may take. The watchdog usually finds the cause of a failure much
  /// earlier.
  std::chrono::milliseconds collective_timeout = std::chrono::minutes(10);
  RankWatchdogOptions watchdog = {};
  /// Called at most once, from a thread of the watchdog, with the reason why the run cannot
  /// continue. If empty, the reason is written to stderr and the process ends with _Exit(1),
  /// because there is no other way to leave a collective that never returns. This default is the
  /// only place where the library prints or exits.
  std::function<void(const std::string&)> on_failure = {};
};

namespace detail {

/// Returns the device that `name` (see JoinOptions::device) means for this rank, if the process
/// sees `gpus` CUDA devices. Raises for an unknown name or a missing device.
inline c10::Device rank_device(const std::string& name, const LaunchEnvironment& launch,
                               std::int64_t gpus) {
  if (name == "cpu" || (name.empty() && gpus == 0)) return c10::Device(c10::kCPU);
  const auto digits = name.starts_with("cuda:") ? name.substr(5) : "";
  const bool has_index = !digits.empty() && digits.size() <= 3 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  TORCH_CHECK(name.empty() || name == "cuda" || has_index, "JoinOptions::device is '", name,
              "', expected \"cpu\", \"cuda\" or \"cuda:N\"");
  TORCH_CHECK(gpus > 0, "JoinOptions::device is '", name,
              "', but LibTorch finds no CUDA device; use a CUDA build of LibTorch on a machine "
              "with a GPU, or the device \"cpu\"");
  TORCH_CHECK(!has_index || launch.local_size == 1, "JoinOptions::device is '", name, "', but ",
              launch.local_size,
              " ranks run on this machine and each needs its own GPU; use \"cuda\", which "
              "selects the GPU of the local rank");
  // Slurm and other launchers may show each rank only its own GPU, which is then number 0.
  const std::int64_t index = has_index ? std::stoll(digits) : gpus == 1 ? 0 : launch.local_rank;
  TORCH_CHECK(index < gpus, "JoinOptions::device: local rank ", launch.local_rank,
              " would train on cuda:", index, ", but this process sees only ", gpus,
              " CUDA devices; start at most one rank per GPU");
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
/// The process group of a run together with the store and the watchdog that it needs. Copies share
/// them. If the last copy is destroyed without sign_off(), the other ranks are told.
class JoinedRanks : public ProcessGroupCommunicator {
 public:
  JoinedRanks(ProcessGroupCommunicator communicator, c10::Device device,
              std::shared_ptr<RankWatchdog> watchdog)
      : ProcessGroupCommunicator(std::move(communicator)),
        device_(device),
        watchdog_(std::move(watchdog)) {}

  [[nodiscard]] c10::Device device() const { return device_; }
  void progress(std::int64_t step) const { watchdog_->progress(step); }
  void sign_off() const { watchdog_->sign_off(); }
  [[nodiscard]] std::string explain(const std::exception& error) const {
    if (is_rank_failure(error))
      if (const auto found = watchdog_->wait_for_failure()) return *found;
    return "rank " + std::to_string(rank()) + " of " + std::to_string(size()) + ": " +
           error_text(error);
  }

 private:
  c10::Device device_;
  std::shared_ptr<RankWatchdog> watchdog_;
};
static_assert(Communicator<JoinedRanks>);

inline Ranks connect_joined_ranks(const LaunchEnvironment& launch, c10::Device device,
                                  const JoinOptions& options) {
  const auto store = open_tcp_store(launch, options.timeout);
  wait_for_ranks(*c10::make_intrusive<c10d::PrefixStore>("join", store), launch.rank, launch.size,
                 options.timeout);
  // The watchdog is created first, because a rank may also die while the group is being connected.
  auto on_failure = options.on_failure;
  if (!on_failure)
    on_failure = [](const std::string& why) {
      std::fprintf(stderr, "%s\n", why.c_str());
      std::_Exit(1);
    };
  auto watchdog = std::make_shared<RankWatchdog>(store, launch.rank, launch.size,
                                                 std::move(on_failure), options.watchdog);
  try {
    auto group =
        connect_ranks(store, launch, device,
                      {.timeout = options.collective_timeout, .arrival_timeout = options.timeout});
    return JoinedRanks(std::move(group), device, watchdog);
  } catch (const std::exception& error) {
    const auto found = is_rank_failure(error) ? watchdog->wait_for_failure() : std::nullopt;
    TORCH_CHECK(!found, *found);
    throw;
  }
}
#endif

}  // namespace detail

/// Joins the run that `launch` describes. With one rank it returns at once. Collective: returns
/// when all ranks are connected. Raises after JoinOptions::timeout and then names the missing
/// ranks. Also raises if the device does not exist, if a timeout is not positive, and for more than
/// one rank in a program that was built without the component `distributed`. A CUDA device becomes
/// the current device of the calling thread. The connections stay open as long as a copy of the
/// result exists.
[[nodiscard]] inline Ranks join_ranks(const LaunchEnvironment& launch,
                                      const JoinOptions& options = {}) {
  TORCH_CHECK(options.timeout.count() > 0 && options.collective_timeout.count() > 0,
              "JoinOptions: timeout is ", options.timeout.count(), " ms and collective_timeout ",
              options.collective_timeout.count(), " ms; both must be above 0");
  const auto device = detail::rank_device(options.device, launch, torch::cuda::device_count());
  if (device.is_cuda()) c10::impl::getDeviceGuardImpl(c10::kCUDA)->setDevice(device);
  if (launch.size == 1) return SingleProcess(device);
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
  return detail::connect_joined_ranks(launch, device, options);
#else
  TORCH_CHECK(false, "join_ranks: this process is rank ", launch.rank, " of ", launch.size,
              " (started by ", launch.launcher,
              "), but the program was built without the component `distributed`: use "
              "find_package(Contrapunto COMPONENTS distributed) and link "
              "contrapunto::distributed, or start one process");
#endif
}

/// Joins the ranks that torchrun, Slurm's srun, Open MPI's or MPICH's mpirun or scripts/launch
/// started. Without any of these launchers it returns a single rank. This function is the only
/// place where the library reads the environment of the process (see read_launch_environment). The
/// same program then works with any number of ranks:
///
///   Ranks ranks;
///   try {
///     ranks = join_ranks({.device = device});
///     for (...) { ranks.progress(step); ... }
///     ranks.sign_off();
///   } catch (const std::exception& error) {
///     std::cerr << ranks.explain(error) << "\n";
///     return 1;
///   }
[[nodiscard]] inline Ranks join_ranks(const JoinOptions& options = {}) {
  return join_ranks(read_launch_environment(::getenv), options);
}

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <charconv>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

namespace contrapunto {

/// The rank of this process and the run it belongs to, as its launcher reported them.
struct LaunchEnvironment {
  std::int64_t rank = 0;                     ///< 0 to size - 1.
  std::int64_t size = 1;                     ///< Number of ranks of the run.
  std::int64_t local_rank = 0;               ///< 0 to local_size - 1; the index of the GPU to use.
  std::int64_t local_size = 1;               ///< Number of ranks on this machine.
  std::string master_address = "127.0.0.1";  ///< Address of the machine of rank 0.
  std::int64_t master_port = 29500;
  std::int64_t restart = 0;  ///< How many times the launcher has restarted the run.
  /// Whether the launcher already listens on the port. Rank 0 must then not listen.
  bool launcher_hosts_store = false;
  std::string launcher = "none";  ///< "torchrun", "Open MPI", "MPICH", "Slurm" or "none".
};

namespace detail {

class LaunchVariables {
 public:
  explicit LaunchVariables(std::function<const char*(const char*)> lookup)
      : lookup_(std::move(lookup)) {}

  [[nodiscard]] std::optional<std::string> text(const char* name) const {
    const char* value = lookup_(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  }

  [[nodiscard]] std::optional<std::int64_t> number(const char* name) const {
    const auto value = text(name);
    if (!value) return std::nullopt;
    std::int64_t result = 0;
    const char* end = value->data() + value->size();
    const auto parsed = std::from_chars(value->data(), end, result);
    TORCH_CHECK(parsed.ec == std::errc{} && parsed.ptr == end, "launch environment: ", name,
                " is '", *value, "', expected a whole number");
    return result;
  }

  [[nodiscard]] std::int64_t required(const char* name, const char* because) const {
    const auto value = number(name);
    TORCH_CHECK(value, "launch environment: ", because, " is set but ", name,
                " is not; set both, or unset ", because);
    return *value;
  }

 private:
  std::function<const char*(const char*)> lookup_;
};

/// Returns the first host of a Slurm node list: "gpu[07-09,12],login" gives "gpu07".
inline std::string first_slurm_host(const std::string& nodes) {
  const auto bracket = nodes.find('[');
  const auto comma = nodes.find(',');
  if (bracket == std::string::npos || comma < bracket) return nodes.substr(0, comma);
  const auto end = nodes.find_first_of(",-]", bracket + 1);
  return nodes.substr(0, bracket) + nodes.substr(bracket + 1, end - bracket - 1);
}

/// Returns the number of tasks on node `node` from Slurm's notation, in which "4(x2),3" means 4, 4,
/// 3. Returns nothing if there is no such node.
inline std::optional<std::int64_t> slurm_tasks_of_node(const std::string& tasks,
                                                       std::int64_t node) {
  std::istringstream in(tasks);
  for (std::string part; std::getline(in, part, ',');) {
    std::int64_t count = 0, nodes = 1;
    if (std::sscanf(part.c_str(), "%" SCNd64 "(x%" SCNd64 ")", &count, &nodes) < 1)
      return std::nullopt;
    if (node < nodes) return count;
    node -= nodes;
  }
  return std::nullopt;
}

}  // namespace detail

/// Reads the variables that torchrun (or scripts/launch), Open MPI's or MPICH's mpirun, or Slurm's
/// srun set, in this order. Without any of them there is one rank. A program that a Slurm batch
/// script runs without srun is also one rank. `lookup` returns the value of a variable or null;
/// pass `getenv`. MASTER_ADDR and MASTER_PORT always take precedence. Without them, the ranks of
/// Slurm connect to the first node of the step at a port derived from the job id, and the ranks on
/// one machine connect to 127.0.0.1:29500. Raises for values that are not numbers or contradict
/// each other, and if MASTER_ADDR is missing for ranks that may be on several machines.
inline LaunchEnvironment read_launch_environment(std::function<const char*(const char*)> lookup) {
  const detail::LaunchVariables variables(std::move(lookup));
  LaunchEnvironment launch;
  bool has_address = false;
  std::optional<std::int64_t> local_rank, local_size;
  if (variables.text("RANK") || variables.text("WORLD_SIZE")) {
    launch.launcher = "torchrun";
    launch.rank = variables.required("RANK", "WORLD_SIZE");
    launch.size = variables.required("WORLD_SIZE", "RANK");
    local_rank = variables.number("LOCAL_RANK");
    local_size = variables.number("LOCAL_WORLD_SIZE");
    launch.restart = variables.number("TORCHELASTIC_RESTART_COUNT").value_or(0);
    launch.launcher_hosts_store = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  } else if (variables.text("OMPI_COMM_WORLD_SIZE")) {
    launch.launcher = "Open MPI";
    launch.rank = variables.required("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
    launch.size = *variables.number("OMPI_COMM_WORLD_SIZE");
    local_rank = variables.number("OMPI_COMM_WORLD_LOCAL_RANK");
    local_size = variables.number("OMPI_COMM_WORLD_LOCAL_SIZE");
  } else if (variables.text("PMI_RANK") && variables.text("MPI_LOCALNRANKS")) {
    launch.launcher = "MPICH";
    launch.rank = *variables.number("PMI_RANK");
    launch.size = variables.required("PMI_SIZE", "PMI_RANK");
    local_rank = variables.number("MPI_LOCALRANKID");
    local_size = variables.number("MPI_LOCALNRANKS");
  } else if (variables.text("SLURM_PROCID") && variables.text("SLURM_STEP_NUM_TASKS")) {
    // A batch script also has SLURM_PROCID and SLURM_NTASKS, but only srun creates a step.
    launch.launcher = "Slurm";
    launch.rank = *variables.number("SLURM_PROCID");
    launch.size = *variables.number("SLURM_STEP_NUM_TASKS");
    local_rank = variables.number("SLURM_LOCALID");
    if (const auto tasks = variables.text("SLURM_STEP_TASKS_PER_NODE"))
      local_size =
          detail::slurm_tasks_of_node(*tasks, variables.number("SLURM_NODEID").value_or(0));
    if (!local_size) local_size = variables.number("SLURM_NTASKS_PER_NODE");
    auto nodes = variables.text("SLURM_STEP_NODELIST");
    if (!nodes) nodes = variables.text("SLURM_JOB_NODELIST");
    if (nodes) launch.master_address = detail::first_slurm_host(*nodes);
    has_address = nodes.has_value();
    // Two jobs on the same machine must not use the same port.
    launch.master_port = 20000 + variables.number("SLURM_JOB_ID").value_or(0) % 10000;
  }
  launch.local_rank = local_rank.value_or(launch.rank);
  launch.local_size = local_size.value_or(launch.size);
  if (const auto address = variables.text("MASTER_ADDR")) {
    launch.master_address = *address;
    has_address = true;
  }
  launch.master_port = variables.number("MASTER_PORT").value_or(launch.master_port);

  TORCH_CHECK(launch.size >= 1 && launch.rank >= 0 && launch.rank < launch.size,
              "launch environment (", launch.launcher, "): rank ", launch.rank, " of ", launch.size,
              " ranks; ranks count from 0");
  TORCH_CHECK(launch.local_rank >= 0 && launch.local_size >= 1, "launch environment (",
              launch.launcher, "): local rank ", launch.local_rank, " of ", launch.local_size);
  TORCH_CHECK(launch.master_port > 0 && launch.master_port < 65536, "launch environment (",
              launch.launcher, "): MASTER_PORT is ", launch.master_port, ", expected 1 to 65535");
  // Without an address, each machine would wait for rank 0 at its own 127.0.0.1.
  TORCH_CHECK(has_address || launch.size == 1 || (local_size && *local_size >= launch.size),
              "launch environment (", launch.launcher, "): there are ", launch.size, " ranks, ",
              local_size ? "only " + std::to_string(*local_size) + " of them on this machine"
                         : "the launcher does not report how many of them are on this machine",
              ", and MASTER_ADDR is not set; set it to the machine of rank 0, or to 127.0.0.1 when "
              "all ranks are on one machine");
  return launch;
}

/// Overload that reads a map, for tests and for custom launchers.
inline LaunchEnvironment read_launch_environment(
    const std::map<std::string, std::string>& variables) {
  return read_launch_environment([&variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

}  // namespace contrapunto

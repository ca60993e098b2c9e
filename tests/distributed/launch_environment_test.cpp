// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/distributed/launch_environment.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using Variables = std::map<std::string, std::string>;

TEST_CASE("Without a launcher there is one rank", "[distributed][cpu]") {
  const auto launch = read_launch_environment(Variables{{"PATH", "/bin"}, {"LOCAL_RANK", "3"}});
  REQUIRE(launch.launcher == "none");
  REQUIRE(launch.rank == 0);
  REQUIRE(launch.size == 1);
  REQUIRE(launch.local_rank == 0);
}

TEST_CASE("torchrun's variables are read, and that its agent hosts the store",
          "[distributed][cpu]") {
  Variables variables{{"RANK", "5"},
                      {"WORLD_SIZE", "8"},
                      {"LOCAL_RANK", "1"},
                      {"LOCAL_WORLD_SIZE", "4"},
                      {"MASTER_ADDR", "10.0.0.7"},
                      {"MASTER_PORT", "29411"},
                      {"TORCHELASTIC_RESTART_COUNT", "2"},
                      {"SLURM_PROCID", "1"},
                      {"SLURM_NTASKS", "2"}};
  auto launch = read_launch_environment(variables);
  REQUIRE(launch.launcher == "torchrun");
  REQUIRE(launch.rank == 5);
  REQUIRE(launch.size == 8);
  REQUIRE(launch.local_rank == 1);
  REQUIRE(launch.local_size == 4);
  REQUIRE(launch.master_address == "10.0.0.7");
  REQUIRE(launch.master_port == 29411);
  REQUIRE(launch.restart == 2);
  REQUIRE_FALSE(launch.launcher_hosts_store);
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  REQUIRE(read_launch_environment(variables).launcher_hosts_store);
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "False";
  REQUIRE_FALSE(read_launch_environment(variables).launcher_hosts_store);
}

TEST_CASE("Open MPI's variables are read, also inside a Slurm job", "[distributed][cpu]") {
  const auto launch = read_launch_environment(Variables{{"OMPI_COMM_WORLD_RANK", "1"},
                                                        {"OMPI_COMM_WORLD_SIZE", "2"},
                                                        {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                                        {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                                                        {"SLURM_PROCID", "0"},
                                                        {"SLURM_NTASKS", "16"}});
  REQUIRE(launch.launcher == "Open MPI");
  REQUIRE(launch.rank == 1);
  REQUIRE(launch.size == 2);
  REQUIRE(launch.local_rank == 1);
  REQUIRE(launch.master_address == "127.0.0.1");
}

TEST_CASE("MPICH's variables are read", "[distributed][cpu]") {
  const auto launch = read_launch_environment(Variables{{"PMI_RANK", "3"},
                                                        {"PMI_SIZE", "4"},
                                                        {"MPI_LOCALRANKID", "1"},
                                                        {"MPI_LOCALNRANKS", "2"},
                                                        {"MASTER_ADDR", "gpu03"}});
  REQUIRE(launch.launcher == "MPICH");
  REQUIRE(launch.rank == 3);
  REQUIRE(launch.size == 4);
  REQUIRE(launch.local_rank == 1);
  REQUIRE(launch.local_size == 2);
}

TEST_CASE("Slurm's variables are read; rank 0 is on the first node of the step",
          "[distributed][cpu]") {
  Variables variables{{"SLURM_PROCID", "7"},
                      {"SLURM_STEP_NUM_TASKS", "8"},
                      {"SLURM_NTASKS", "16"},
                      {"SLURM_LOCALID", "2"},
                      {"SLURM_NODEID", "2"},
                      {"SLURM_STEP_TASKS_PER_NODE", "2(x2),3,1"},
                      {"SLURM_NTASKS_PER_NODE", "4"},
                      {"SLURM_JOB_ID", "81234"},
                      {"SLURM_JOB_NODELIST", "login,gpu[03-04,09]"},
                      {"SLURM_STEP_NODELIST", "gpu[03-04,09]"}};
  auto launch = read_launch_environment(variables);
  REQUIRE(launch.launcher == "Slurm");
  REQUIRE(launch.rank == 7);
  REQUIRE(launch.size == 8);
  REQUIRE(launch.local_rank == 2);
  REQUIRE(launch.local_size == 3);
  REQUIRE(launch.master_address == "gpu03");
  REQUIRE(launch.master_port == 21234);

  variables.erase("SLURM_STEP_TASKS_PER_NODE");
  REQUIRE(read_launch_environment(variables).local_size == 4);
  variables.erase("SLURM_STEP_NODELIST");
  REQUIRE(read_launch_environment(variables).master_address == "login");

  variables["MASTER_ADDR"] = "gpu09";
  variables["MASTER_PORT"] = "4000";
  launch = read_launch_environment(variables);
  REQUIRE(launch.master_address == "gpu09");
  REQUIRE(launch.master_port == 4000);
}

TEST_CASE("A program that a Slurm batch script runs without srun is one rank",
          "[distributed][cpu]") {
  const auto launch = read_launch_environment(Variables{{"SLURM_PROCID", "0"},
                                                        {"SLURM_NTASKS", "4"},
                                                        {"SLURM_LOCALID", "0"},
                                                        {"SLURM_TASKS_PER_NODE", "1(x4)"}});
  REQUIRE(launch.launcher == "none");
  REQUIRE(launch.size == 1);
}

TEST_CASE("Slurm's count of tasks on a node is read", "[distributed][cpu]") {
  const auto tasks = contrapunto::detail::slurm_tasks_of_node;
  REQUIRE(tasks("4", 0) == 4);
  REQUIRE(tasks("4(x2),3", 1) == 4);
  REQUIRE(tasks("4(x2),3", 2) == 3);
  REQUIRE_FALSE(tasks("4(x2),3", 3).has_value());
  REQUIRE_FALSE(tasks("many", 0).has_value());
}

TEST_CASE("The first host of a Slurm node list is found in every form", "[distributed][cpu]") {
  REQUIRE(contrapunto::detail::first_slurm_host("gpu7") == "gpu7");
  REQUIRE(contrapunto::detail::first_slurm_host("a,b") == "a");
  REQUIRE(contrapunto::detail::first_slurm_host("gpu[07-09,12],login") == "gpu07");
  REQUIRE(contrapunto::detail::first_slurm_host("rack1-gpu[3]") == "rack1-gpu3");
  REQUIRE(contrapunto::detail::first_slurm_host("gpu[5,7-9]") == "gpu5");
}

TEST_CASE("A broken launch environment is refused with the variable's name", "[distributed][cpu]") {
  const auto read = [](Variables v) { return read_launch_environment(v); };
  REQUIRE_THROWS_WITH(read({{"RANK", "0"}}), Contains("WORLD_SIZE") && Contains("RANK is set"));
  REQUIRE_THROWS_WITH(read({{"WORLD_SIZE", "2"}}), Contains("RANK is not"));
  REQUIRE_THROWS_WITH(read({{"RANK", "two"}, {"WORLD_SIZE", "2"}}),
                      Contains("RANK is 'two', expected a whole number"));
  REQUIRE_THROWS_WITH(read({{"RANK", "1x"}, {"WORLD_SIZE", "2"}}), Contains("'1x'"));
  REQUIRE_THROWS_WITH(read({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), Contains("rank 2 of 2 ranks"));
  REQUIRE_THROWS_WITH(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"MASTER_PORT", "70000"}}),
                      Contains("MASTER_PORT is 70000"));
  REQUIRE_THROWS_WITH(read({{"RANK", "0"}, {"WORLD_SIZE", "4"}, {"LOCAL_WORLD_SIZE", "2"}}),
                      Contains("4 ranks, only 2 of them") && Contains("MASTER_ADDR is not set"));
  // Each of two machines would wait for rank 0 at its own 127.0.0.1.
  REQUIRE_THROWS_WITH(read({{"RANK", "0"}, {"WORLD_SIZE", "2"}}),
                      Contains("there are 2 ranks") && Contains("MASTER_ADDR is not set") &&
                          Contains("127.0.0.1 when all ranks are on one machine"));
  REQUIRE(read({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "2"}}).master_address ==
          "127.0.0.1");
}

TEST_CASE("The environment of the process can be passed as it is", "[distributed][cpu]") {
  const auto launch = read_launch_environment(::getenv);
  REQUIRE(launch.rank < launch.size);
}

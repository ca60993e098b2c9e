// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace contrapunto::test {

/// A TCP port of 127.0.0.1 that was free when it was checked.
inline int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool ok =
      fd >= 0 && ::bind(fd, generic, length) == 0 && ::getsockname(fd, generic, &length) == 0;
  if (fd >= 0) ::close(fd);
  if (!ok) throw std::runtime_error("no free TCP port on 127.0.0.1");
  return ntohs(address.sin_port);
}

/// Runs the hidden test case `name` of this program once per rank, each in a process of its own
/// with the environment a launcher would give it; returns the exit codes (0: every check held).
inline std::vector<int> run_ranks(const std::string& name, int size,
                                  std::map<std::string, std::string> environment) {
  std::vector<pid_t> processes;
  for (int rank = 0; rank < size; ++rank) {
    environment["RANK"] = environment["LOCAL_RANK"] = std::to_string(rank);
    environment["WORLD_SIZE"] = environment["LOCAL_WORLD_SIZE"] = std::to_string(size);
    // LibTorch has threads, so the child may do nothing between fork and exec but these two calls.
    const pid_t process = ::fork();
    if (process == 0) {
      for (const auto& [key, value] : environment) ::setenv(key.c_str(), value.c_str(), 1);
      ::execl("/proc/self/exe", "ranks", name.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    processes.push_back(process);
  }
  std::vector<int> codes;
  for (const pid_t process : processes) {
    int status = 0;
    ::waitpid(process, &status, 0);
    codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  return codes;
}

}  // namespace contrapunto::test

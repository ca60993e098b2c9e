// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/detail/printable.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"

namespace contrapunto::detail {

/// The two ends of a pipe, which are closed with the object.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0)
      throw DataError("cannot make a pipe: " + last_system_error());
  }
  ~Pipe() {
    close_reading();
    close_writing();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  [[nodiscard]] int reading() const { return ends_[0]; }
  [[nodiscard]] int writing() const { return ends_[1]; }
  void close_reading() { close(ends_[0]); }
  void close_writing() { close(ends_[1]); }

 private:
  static void close(int& end) {
    if (end >= 0) ::close(std::exchange(end, -1));
  }
  std::array<int, 2> ends_ = {-1, -1};
};

/// A process with children of its own, all of which are killed if it has not been waited for.
class ChildProcess {
 public:
  explicit ChildProcess(pid_t id) : id_(id) {}
  ~ChildProcess() {
    if (id_ <= 0) return;
    ::kill(-id_, SIGKILL);
    static_cast<void>(wait());
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Waits for the end of the process and returns its status as waitpid() gives it.
  int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) continue;
    id_ = -1;
    return status;
  }

 private:
  pid_t id_;
};

/// Runs `command` with /bin/sh and gives what it writes to `sink`, a function of a string_view.
/// Raises DataError with the command and the end of its standard error if it cannot be started,
/// does not end with 0, writes nothing for `patience` seconds, or when `stopped()` is true; it is
/// killed then.
template <class Sink, class Stopped>
void run_command(const std::string& command, double patience, Sink sink, Stopped stopped) {
  const std::string what = "the command '" + printable(command) + "' ";
  Pipe output, errors;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output.writing(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, errors.writing(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::array<std::string, 3> words = {"sh", "-c", command};
  std::array<char*, 4> arguments = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t id = -1;
  const int failed =
      ::posix_spawn(&id, "/bin/sh", &actions, &attributes, arguments.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0)
    throw DataError(what + "cannot be started: " + std::system_category().message(failed));
  ChildProcess child(id);
  output.close_writing();
  errors.close_writing();

  std::string said;
  const auto complaint = [&] {
    while (!said.empty() && said.back() == '\n') said.pop_back();
    return said.empty() ? std::string() : "; it wrote: " + printable(said);
  };
  std::string buffer(1 << 20, '\0');
  std::array<pollfd, 2> ends = {pollfd{output.reading(), POLLIN, 0},
                                pollfd{errors.reading(), POLLIN, 0}};
  constexpr int kTick = 100;  // Milliseconds.
  double silent = 0.0;
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    const int ready = ::poll(ends.data(), ends.size(), kTick);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) throw DataError(what + "cannot be read: " + last_system_error());
    if (stopped()) throw DataError(what + "was stopped");
    silent = ready > 0 ? 0.0 : silent + kTick / 1000.0;
    if (silent >= patience) {
      char seconds[32];
      std::snprintf(seconds, sizeof seconds, "%.3g", patience);
      throw DataError(what + "has written nothing for " + seconds + " s" + complaint());
    }
    for (pollfd& end : ends) {
      if (end.fd < 0 || end.revents == 0) continue;
      const ssize_t got = ::read(end.fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        end.fd = -1;
      } else if (&end == &ends[0]) {
        sink(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
      } else {
        constexpr std::size_t kKept = 1000;
        said.append(buffer.data(), static_cast<std::size_t>(got));
        if (said.size() > kKept) said.erase(0, said.size() - kKept);
      }
    }
  }
  const int status = child.wait();
  if (WIFSIGNALED(status))
    throw DataError(what + "was ended by signal " + std::to_string(WTERMSIG(status)) + complaint());
  if (WEXITSTATUS(status) != 0)
    throw DataError(what + "ended with exit code " + std::to_string(WEXITSTATUS(status)) +
                    complaint());
}

}  // namespace contrapunto::detail

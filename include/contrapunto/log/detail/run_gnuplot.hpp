// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "contrapunto/io/atomic_file.hpp"

namespace contrapunto::detail {

using ScratchFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

/// Opens an unnamed file that is deleted when it is closed.
inline ScratchFile scratch_file() {
  ScratchFile file(std::tmpfile(), &std::fclose);
  TORCH_CHECK(file, "cannot create a temporary file: ", errno_text(errno));
  return file;
}

inline std::string whole_text(std::FILE* file) {
  std::rewind(file);
  std::string text;
  std::array<char, 1 << 14> part{};
  while (const auto size = std::fread(part.data(), 1, part.size(), file))
    text.append(part.data(), size);
  return text;
}

/// Runs gnuplot on `script` and returns its standard output, or nothing if the program is not
/// installed. No shell is involved. Input and output are files rather than pipes, so that neither
/// side can wait for the other.
inline std::optional<std::string> run_gnuplot(const std::string& program, std::string_view script) {
  const auto input = scratch_file();
  const auto output = scratch_file();
  const auto errors = scratch_file();
  const bool written = std::fwrite(script.data(), 1, script.size(), input.get()) == script.size() &&
                       std::fflush(input.get()) == 0;
  TORCH_CHECK(written, "cannot write a temporary file: ", errno_text(errno));
  std::rewind(input.get());

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(input.get()), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(output.get()), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(errors.get()), STDERR_FILENO);
  std::string name = program;
  const std::array<char*, 2> arguments{name.data(), nullptr};
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, name.c_str(), &actions, nullptr, arguments.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  // A folder of PATH that cannot be read, or is none, hides that the program is not there.
  if (error == ENOENT || error == EACCES || error == ENOTDIR) return std::nullopt;
  TORCH_CHECK(error == 0, "cannot run '", program, "': ", errno_text(error));

  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    TORCH_CHECK(errno == EINTR, "cannot wait for '", program, "': ", errno_text(errno));
  TORCH_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "'", program,
              "' failed: ", whole_text(errors.get()));
  return whole_text(output.get());
}

}  // namespace contrapunto::detail

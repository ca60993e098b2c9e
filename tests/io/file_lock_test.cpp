// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/file_lock.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A lock excludes others until its end", "[io][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder / "lock";
  {
    const auto first = FileLock::try_lock(path);
    REQUIRE(first);
    if (!first->held()) return;  // This file system has no locks.
    CHECK_FALSE(FileLock::try_lock(path));
    CHECK_THROWS_WITH(
        FileLock(path, "the folder is in use"),
        Contains("the folder is in use (held by process " + std::to_string(::getpid())));
    CHECK(FileLock::try_lock(folder / "other"));
  }
  CHECK_NOTHROW(FileLock(path, "busy"));
  CHECK(FileLock::try_lock(path));
}

TEST_CASE("The lock of a killed process is free", "[io][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder / "lock";
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = FileLock::try_lock(path);
    ::_exit(lock ? 0 : 1);  // Without destructors, as a killed process.
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  CHECK(FileLock::try_lock(path));
}

TEST_CASE("A lock that cannot be made names its file", "[io][cpu]") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(FileLock::try_lock(folder / "none" / "lock"), Contains("none/lock"));
}

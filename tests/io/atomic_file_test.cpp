// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/atomic_file.hpp"

#include <string>

#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"
#include "support/file_size_limit.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::FileSizeLimit;
using contrapunto::test::TemporaryFolder;

namespace {

std::string error_of(const auto& action) {
  try {
    action();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

}  // namespace

TEST_CASE("A file that is written atomically reads back and leaves no other file", "[io][cpu]") {
  const TemporaryFolder folder;
  const std::string bytes("a\0b\nc", 5);
  write_file_atomically(folder / "file", "older and longer");
  write_file_atomically(folder / "file", bytes);
  REQUIRE(read_file(folder / "file") == bytes);
  write_file_atomically(folder / "empty", "");
  REQUIRE(read_file(folder / "empty").empty());
  REQUIRE(folder.names() == std::vector<std::string>{"empty", "file"});
}

TEST_CASE("A write that fails leaves the old file and names the path", "[io][cpu]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "old");
  std::string message;
  {
    const FileSizeLimit limit(4096);
    message = error_of([&] { write_file_atomically(folder / "file", std::string(100'000, 'x')); });
  }
  REQUIRE_THAT(message, Contains((folder / "file").string()) && Contains("File too large"));
  REQUIRE(read_file(folder / "file") == "old");
  REQUIRE(folder.names() == std::vector<std::string>{"file"});
}

TEST_CASE("A path that cannot be written is named with the system's reason", "[io][cpu]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "x");
  REQUIRE_THAT(error_of([&] { write_file_atomically(folder / "missing/file", "x"); }),
               Contains("missing/file") && Contains("No such file or directory"));
  REQUIRE_THAT(error_of([&] { write_file_atomically(folder / "file/below", "x"); }),
               Contains("file/below") && Contains("Not a directory"));

  std::filesystem::create_directory(folder / "taken");
  REQUIRE_THAT(error_of([&] { write_file_atomically(folder / "taken", "x"); }),
               Contains("taken") && Contains("Is a directory"));
  REQUIRE(folder.names() == std::vector<std::string>{"file", "taken"});
}

TEST_CASE("An atomic file that is never committed does not appear", "[io][cpu]") {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "file");
    file.write("half");
    REQUIRE(folder.names().size() == 1);
  }
  REQUIRE(folder.names().empty());
}

TEST_CASE("Reading a file that is not there says so", "[io][cpu]") {
  const TemporaryFolder folder;
  REQUIRE_THAT(error_of([&] { (void)read_file(folder / "nothing"); }),
               Contains("nothing") && Contains("no such file"));
}

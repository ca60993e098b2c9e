// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/atomic_directory.hpp"

#include <string>
#include <vector>

#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

namespace {

void write_directory(const std::filesystem::path& path, const std::string& text) {
  AtomicDirectory directory(path);
  write_file_atomically(directory.path() / "file", text);
  std::filesystem::create_directory(directory.path() / "inner");
  write_file_atomically(directory.path() / "inner/file", text);
  directory.commit();
}

}  // namespace

TEST_CASE("A folder written atomically replaces the older one as a whole", "[io][cpu]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "run");
  write_file_atomically(folder / "run/only_in_the_old", "x");
  write_directory((folder / "run").string() + "/", "new");
  REQUIRE(read_file(folder / "run/file") == "new");
  REQUIRE(read_file(folder / "run/inner/file") == "new");
  REQUIRE_FALSE(std::filesystem::exists(folder / "run/only_in_the_old"));
  REQUIRE(folder.names() == std::vector<std::string>{"run"});
}

TEST_CASE("An atomic folder that fails half-way leaves the old one", "[io][cpu]") {
  const TemporaryFolder folder;
  write_directory(folder / "run", "old");
  REQUIRE_THROWS_AS(
      [&] {
        AtomicDirectory directory(folder / "run");
        write_file_atomically(directory.path() / "file", "new");
        TORCH_CHECK(false, "out of luck");
      }(),
      c10::Error);
  REQUIRE(read_file(folder / "run/file") == "old");
  REQUIRE(folder.names() == std::vector<std::string>{"run"});
}

TEST_CASE("An atomic folder starts empty although a crash left a folder of its name", "[io][cpu]") {
  const TemporaryFolder folder;
  const auto leftover = "run.tmp-" + std::to_string(::getpid());
  std::filesystem::create_directory(folder / leftover);
  write_file_atomically(folder / (leftover + "/stale"), "x");
  write_directory(folder / "run", "new");
  REQUIRE_FALSE(std::filesystem::exists(folder / "run/stale"));
  REQUIRE(folder.names() == std::vector<std::string>{"run"});
}

TEST_CASE("An atomic folder does not replace a file and needs its parent", "[io][cpu]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "run", "a file");
  REQUIRE_THROWS_WITH(write_directory(folder / "run", "new"), Contains("Not a directory"));
  REQUIRE(read_file(folder / "run") == "a file");
  REQUIRE_THROWS_WITH(write_directory(folder / "no/run", "new"),
                      Contains("no/run") && Contains("No such file or directory"));
  REQUIRE(folder.names() == std::vector<std::string>{"run"});
}

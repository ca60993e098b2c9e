// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/read_lines.hpp"

#include <fstream>

#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Lines are returned without line ends, and empty lines are left out", "[io][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "classes.txt";
  std::ofstream(path, std::ios::binary) << "cat\r\ndog\n\nblue bird";
  REQUIRE(read_lines(path) == std::vector<std::string>{"cat", "dog", "blue bird"});
  REQUIRE_THROWS_WITH(read_lines(folder.path() / "none.txt"),
                      Catch::Matchers::Contains("none.txt"));
}

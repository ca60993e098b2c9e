// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/shard_list.hpp"

#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Names = std::vector<std::string>;

TEST_CASE("Braces expand as in a shell", "[data][cpu]") {
  CHECK(expand_braces("plain.tar") == Names{"plain.tar"});
  CHECK(expand_braces("t-{008..011}.tar") ==
        Names{"t-008.tar", "t-009.tar", "t-010.tar", "t-011.tar"});
  CHECK(expand_braces("{8..11}") == Names{"8", "9", "10", "11"});
  CHECK(expand_braces("{2..0}") == Names{"2", "1", "0"});
  CHECK(expand_braces("{a,b{1..2}}/{x,}") == Names{"a/x", "a/", "b1/x", "b1/", "b2/x", "b2/"});
  CHECK(expand_braces("{one}") == Names{"{one}"});
  CHECK_THROWS_WITH(expand_braces("t-{0..3.tar"), test::contains("'{' without '}'"));
  CHECK_THROWS_WITH(expand_braces("t-{a..c}.tar"), test::contains("not a range of numbers"));
}

TEST_CASE("Shards are listed from patterns, wildcards and folders, in order", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto a = folder.write("t-0.tar", "");
  const auto b = folder.write("t-1.tar", "");
  const auto c = folder.write("u.tar", "");
  folder.write("notes.txt", "");
  CHECK(list_shards(folder / "t-{1..0}.tar") == Names{b, a});
  CHECK(list_shards(folder / "t-*.tar") == Names{a, b});
  CHECK(list_shards(folder / "") == Names{a, b, c});
  CHECK(list_shards(c + "::" + (folder / "t-?.tar")) == Names{c, a, b});
}

TEST_CASE("A shard list that names nothing raises", "[data][cpu]") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(list_shards(""), test::contains("empty"));
  CHECK_THROWS_WITH(list_shards(folder / "t-{0..1}.tar"),
                    test::contains("t-0.tar' does not exist"));
  CHECK_THROWS_WITH(list_shards(folder / "*.tar"), test::contains("matches no file"));
  CHECK_THROWS_WITH(list_shards(folder / ""), test::contains("contains no *.tar"));
}

TEST_CASE("A list file names shards relative to its folder", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto a = folder.write("x/t-0.tar", "");
  const auto b = folder.write("x/t-1.tar", "");
  const auto c = folder.write("u.tar", "");
  const auto list = folder.write("x/all.txt", "# shards\n\nt-{1..0}.tar\r\n../u.tar\n" + c + "\n");
  CHECK(list_shards(list) == Names{b, a, folder / "x/../u.tar", c});
  CHECK(list_shards(c + "::" + list).size() == 5);
  CHECK_THROWS_WITH(list_shards(folder / "none.txt"), test::contains("cannot be read"));
  CHECK_THROWS_WITH(list_shards(folder.write("empty.txt", "# nothing\n")),
                    test::contains("names no shard"));
  CHECK_THROWS_WITH(list_shards(folder.write("self.txt", "self.txt\n")),
                    test::contains("names another list, 'self.txt'"));
  CHECK_THROWS_WITH(list_shards(folder.write("bad.txt", "missing.tar\n")),
                    test::contains("missing.tar' does not exist"));
}

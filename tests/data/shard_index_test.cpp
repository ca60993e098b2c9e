// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/shard_index.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>

#include "contrapunto/io/read_file.hpp"
#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

const test::Files kMembers = {{"a/1.jpg", "IMAGE1"}, {"a/1.txt", "one"},        {"a/1.cls", "7"},
                              {"a/2.png", "I2"},     {"a/2.json", "{\"n\":2}"}, {"lonely.txt", "x"},
                              {"a/3.jpg", "IMAGE3"}, {"a/3.txt", "three"}};

void check_equal(const ShardEntry& one, const ShardEntry& other) {
  CHECK(one.key == other.key);
  for (const auto member :
       {&ShardEntry::image, &ShardEntry::text, &ShardEntry::json, &ShardEntry::label}) {
    CHECK((one.*member).offset == (other.*member).offset);
    CHECK((one.*member).size == (other.*member).size);
  }
}

}  // namespace

TEST_CASE("An index points to the members of each sample", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const std::string bytes = test::tar_of(kMembers);
  const auto shard = folder.write("a.tar", bytes);
  const auto index = ShardIndex::scan(shard);
  REQUIRE(index.size() == 3);
  REQUIRE(index.problems().skipped == 1);
  CHECK(index.problems().first[0] == shard + ": lonely: no image member");
  contrapunto::detail::OpenFiles files;
  const auto text_of = [&](const ShardEntry::Extent& extent) {
    return bytes.substr(extent.offset, extent.size);
  };
  const auto one = index.read(0, "", files);
  CHECK(one.key == "a/1");
  CHECK(text_of(one.image) == "IMAGE1");
  CHECK(text_of(one.text) == "one");
  CHECK(text_of(one.label) == "7");
  CHECK(one.json.size == 0);
  const auto two = index.read(1, "", files);
  CHECK(two.key == "a/2");
  CHECK(text_of(two.image) == "I2");
  CHECK(text_of(two.json) == "{\"n\":2}");
  CHECK(text_of(index.read(2, "", files).text) == "three");
}

TEST_CASE("An index that was written is the index that was made, read from file or memory",
          "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = folder.write("a.tar", test::tar_of(kMembers));
  const auto made = ShardIndex::scan(shard);
  const auto path = folder / "a.index";
  made.write(path);
  CHECK(std::filesystem::file_size(path) ==
        72 + made.table_bytes() + made.problems().first[0].size() + 1);
  auto opened = ShardIndex::open(shard, path);
  REQUIRE(opened);
  CHECK(opened->size() == made.size());
  CHECK(opened->identity() == made.identity());
  CHECK(opened->problems().skipped == made.problems().skipped);
  CHECK(opened->problems().first == made.problems().first);
  CHECK(opened->stamp() == made.stamp());
  contrapunto::detail::OpenFiles files;
  for (std::int64_t i = 0; i < made.size(); ++i)
    check_equal(opened->read(i, path, files), made.read(i, "", files));
  opened->load(path);
  std::filesystem::remove(path);
  for (std::int64_t i = 0; i < made.size(); ++i)
    check_equal(opened->read(i, "", files), made.read(i, "", files));
}

TEST_CASE("The index of another state of the shard is not used", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = folder.write("a.tar", test::tar_of(kMembers));
  const auto path = folder / "a.index";
  CHECK_FALSE(ShardIndex::open(shard, path));
  ShardIndex::scan(shard).write(path);
  REQUIRE(ShardIndex::open(shard, path));
  const auto time = std::filesystem::last_write_time(shard);
  std::filesystem::last_write_time(shard, time - std::chrono::hours(1));
  CHECK_FALSE(ShardIndex::open(shard, path));
  std::filesystem::last_write_time(shard, time);
  REQUIRE(ShardIndex::open(shard, path));
  std::ofstream(shard, std::ios::app) << "more";
  std::filesystem::last_write_time(shard, time);
  CHECK_FALSE(ShardIndex::open(shard, path));
  std::filesystem::remove(shard);
  CHECK_THROWS_AS(ShardIndex::open(shard, path), DataError);
}

TEST_CASE("No damage of an index file leads to other bytes", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = folder.write("a.tar", test::tar_of(kMembers));
  const auto path = folder / "a.index";
  const auto made = ShardIndex::scan(shard);
  made.write(path);
  const std::string good = read_file(path);
  const std::size_t entries_end = 72 + made.table_bytes();
  std::int64_t refused = 0;
  std::int64_t raised = 0;
  for (std::size_t at = 0; at < entries_end; ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    folder.write("a.index", bad);
    const auto opened = ShardIndex::open(shard, path);
    refused += !opened;
    if (!opened) continue;
    contrapunto::detail::OpenFiles files;
    for (std::int64_t i = 0; i < opened->size(); ++i) try {
        check_equal(opened->read(i, path, files), made.read(i, "", files));
      } catch (const c10::Error& error) {
        ++raised;
        CHECK_THAT(error.what_without_backtrace(), test::contains(path));
        CHECK_THAT(error.what_without_backtrace(), test::contains("Remove the file"));
      }
  }
  CHECK(refused == 72);  // Each byte of the head.
  // Each byte of an entry and of a key; the byte after a key only ends it.
  CHECK(raised == static_cast<std::int64_t>(made.table_bytes()) - made.size());
  for (std::size_t length = 0; length < good.size(); ++length) {
    folder.write("a.index", good.substr(0, length));
    REQUIRE_FALSE(ShardIndex::open(shard, path));
  }
}

TEST_CASE("An index file that is damaged later raises when an entry is needed", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = folder.write("a.tar", test::tar_of(kMembers));
  const auto path = folder / "a.index";
  ShardIndex::scan(shard).write(path);
  const auto opened = ShardIndex::open(shard, path);
  REQUIRE(opened);
  contrapunto::detail::OpenFiles files;
  std::filesystem::resize_file(path, 80);
  CHECK_THROWS_WITH(opened->read(1, path, files), test::contains("the file ends"));
}

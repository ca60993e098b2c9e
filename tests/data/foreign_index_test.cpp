// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include <filesystem>

#include "contrapunto/data/detail/listed_counts.hpp"
#include "contrapunto/data/list_idx.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

const test::Files kFiles = {{"a/1.jpg", std::string(700, 'x')},
                            {"a/1.txt", "one"},
                            {"a/2.jpg", "second"},
                            {"a/2.txt", "two"}};
// As wds2idx writes it: a line for each sample, with extension, offset, size and name of each
// member.
const std::string kIndex =
    "v1.2 2\njpg 512 700 a/1.jpg txt 2048 3 a/1.txt\njpg 3072 6 a/2.jpg txt 4096 3 a/2.txt\n";

void make_older(const std::string& path) {
  namespace fs = std::filesystem;
  fs::last_write_time(path, fs::last_write_time(path) - std::chrono::hours(1));
}

}  // namespace

TEST_CASE("DALI's index has the members that the headers have", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = folder.write("0.tar", test::tar_of(kFiles));
  make_older(shard);
  const contrapunto::detail::RandomAccessFile file(shard);
  CHECK_FALSE(list_idx(file));
  folder.write("0.idx", kIndex);
  const auto listing = list_idx(file);
  REQUIRE(listing);
  const auto expected = list_tar(file);
  REQUIRE(listing->members.size() == expected.members.size());
  for (std::size_t i = 0; i < expected.members.size(); ++i) {
    CHECK(listing->members[i].name == expected.members[i].name);
    CHECK(listing->members[i].offset == expected.members[i].offset);
    CHECK(listing->members[i].size == expected.members[i].size);
  }
  CHECK(ShardIndex::scan(shard).identity() == [&] {
    std::filesystem::remove(folder / "0.idx");
    return ShardIndex::scan(shard).identity();
  }());
}

TEST_CASE("An index of DALI that does not fit the shard is not used", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = folder.write("0.tar", test::tar_of(kFiles));
  make_older(shard);
  const contrapunto::detail::RandomAccessFile file(shard);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = kIndex;
    text.replace(text.find(from), from.size(), to);
    folder.write("0.idx", text);
    return list_idx(file).has_value();
  };
  CHECK(with("v1.2 2", "v1.2 2"));
  CHECK_FALSE(with("v1.2 2", "v1.1 2"));
  CHECK_FALSE(with("v1.2 2", "v1.2 1"));
  CHECK_FALSE(with("v1.2 2", "v1.2 3"));
  CHECK_FALSE(with("jpg 512", "jpg 1024"));
  CHECK_FALSE(with("700 a", "701 a"));
  CHECK_FALSE(with("700 a", "99999999 a"));
  CHECK_FALSE(with("512 700", "512"));
  CHECK_FALSE(with("a/1.jpg", "a/7.jpg"));
  CHECK_FALSE(with("jpg 512", "png 512"));
  folder.write("0.idx", kIndex);
  make_older(folder / "0.idx");
  make_older(folder / "0.idx");
  CHECK_FALSE(list_idx(file));  // It is older than the shard.
}

TEST_CASE("Shards that sizes.json counts are indexed when they are read", "[data][cpu]") {
  const test::TemporaryFolder folder;
  std::vector<std::string> shards;
  for (int i = 0; i < 3; ++i) {
    shards.push_back(folder.write(std::to_string(i) + ".tar", test::tar_of(kFiles)));
    make_older(shards.back());
  }
  folder.write("sizes.json", R"({"0.tar": 2, "2.tar": 3})");
  const ShardSource source(shards);
  CHECK(source.size() == 7);
  CHECK(source.shard_sizes() == std::vector<std::int64_t>{2, 2, 3});
  CHECK_FALSE(std::filesystem::exists(folder / "0.tar.index"));
  CHECK(std::filesystem::exists(folder / "1.tar.index"));
  CHECK(source.read(1).captions == std::vector<std::string>{"two"});
  CHECK(std::filesystem::exists(folder / "0.tar.index"));
  CHECK(source.read(4).captions == std::vector<std::string>{"one"});
  CHECK_THROWS_WITH(source.read(6), Contains("sizes.json counts 3 samples, and 2 of them"));
  const auto range = source.read_range(3, 7);
  REQUIRE(range.size() == 4);
  CHECK(range[2].sample.captions == std::vector<std::string>{"two"});
  CHECK_THAT(range[3].problem, Contains("sizes.json counts 3"));
  CHECK(source.shards()[0].samples == 2);
}

TEST_CASE("A wrong sizes.json is refused with its name", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const std::vector<std::string> shards = {folder.write("0.tar", test::tar_of(kFiles))};
  for (const char* text : {"[", "[1]", R"({"0.tar": "two"})", R"({"0.tar": -1})"}) {
    folder.write("sizes.json", text);
    CHECK_THROWS_WITH(contrapunto::detail::listed_counts(shards), Contains("sizes.json"));
  }
}

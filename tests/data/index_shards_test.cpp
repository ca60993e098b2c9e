// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/index_shards.hpp"

#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

namespace fs = std::filesystem;

/// A shard whose last change is long ago, so that its index is stored.
std::string write_old(const test::TemporaryFolder& folder, const std::string& name,
                      const std::string& bytes) {
  const auto path = folder.write(name, bytes);
  fs::last_write_time(path, fs::last_write_time(path) - std::chrono::hours(1));
  return path;
}

std::string tar_of_samples(int count, int first = 0) {
  test::Files files;
  for (int i = first; i < first + count; ++i) {
    files.emplace_back(std::to_string(i) + ".ppm", "P6 1 1 255\n" + std::string(3, char(i % 250)));
    files.emplace_back(std::to_string(i) + ".txt", "number " + std::to_string(i));
  }
  return test::tar_of(files);
}

std::vector<std::string> some_shards(const test::TemporaryFolder& folder, int shards, int samples) {
  std::vector<std::string> paths;
  for (int i = 0; i < shards; ++i)
    paths.push_back(write_old(folder, "s-" + std::to_string(1000 + i) + ".tar",
                              tar_of_samples(samples, i * samples)));
  return paths;
}

std::int64_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) * 1024;
  return 0;
}

}  // namespace

TEST_CASE("The first use writes the indexes, and later ones scan only what changed",
          "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shards = some_shards(folder, 5, 4);
  std::int64_t calls = 0;
  const auto first = index_shards(
      shards, {.on_progress = [&](std::int64_t done, std::int64_t scanned, std::int64_t all) {
        CHECK(done == ++calls);
        CHECK(scanned == done);
        CHECK(all == 5);
      }});
  CHECK(calls == 5);
  CHECK(first.scanned == 5);
  CHECK(first.unwritten == 0);
  CHECK(fs::exists(shards[3] + ".index"));
  CHECK(index_shards(shards).scanned == 0);

  write_old(folder, "s-1003.tar", tar_of_samples(6));
  fs::resize_file(shards[1] + ".index", 100);
  const auto again = index_shards(shards, {.threads = 1});
  CHECK(again.scanned == 2);
  CHECK(again.indexes[3].size() == 6);
  CHECK(again.indexes[1].size() == 4);
  CHECK(index_shards(shards).scanned == 0);
}

TEST_CASE("The index of a shard that was just written is not stored", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = folder.write("a.tar", tar_of_samples(2));
  const auto indexed = index_shards({shard});
  CHECK(indexed.scanned == 1);
  CHECK(indexed.unwritten == 0);
  CHECK_FALSE(fs::exists(shard + ".index"));
  CHECK(index_shards({shard}).scanned == 1);
}

TEST_CASE("A folder holds the indexes of shards with equal names", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto a = write_old(folder, "a/0.tar", tar_of_samples(2));
  const auto b = write_old(folder, "b/0.tar", tar_of_samples(3));
  const ShardIndexOptions options{.folder = folder / "indexes/of/all"};
  CHECK(index_shards({a, b}, options).scanned == 2);
  const auto again = index_shards({a, b}, options);
  CHECK(again.scanned == 0);
  CHECK(again.indexes[0].size() == 2);
  CHECK(again.indexes[1].size() == 3);
  CHECK_FALSE(fs::exists(a + ".index"));
}

TEST_CASE("An index that cannot be written is named", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard = write_old(folder, "a.tar", tar_of_samples(2));
  folder.write("a.tar.index/file", "in the way");  // A folder in place of the index file.
  const auto indexed = index_shards({shard});
  CHECK(indexed.unwritten == 1);
  CHECK_THAT(indexed.problem, test::contains("a.tar.index"));
  const ShardSource source(shard);
  CHECK(source.read(1).captions.front() == "number 1");
  REQUIRE(source.notes().size() == 1);
  CHECK_THAT(source.notes()[0], test::contains("the index of 1 shards stays in memory"));
  const auto taken = contrapunto::detail::index_path_of(shard, folder / "indexes");
  fs::create_directories(taken + "/file");
  CHECK_THROWS_WITH(index_shards({shard}, {.folder = folder / "indexes"}),
                    test::contains("cannot rename"));
}

TEST_CASE("Samples are the same with the entries in memory and in the files", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shards = some_shards(folder, 3, 5);
  const ShardSource memory(shards);
  const ShardSource files(shards, {.index = {.memory_bytes = 0}});
  for (std::int64_t i = 0; i < 15; ++i) {
    CHECK(files.read(i).key == memory.read(i).key);
    CHECK(files.read(i).image == memory.read(i).image);
    CHECK(files.read(i).captions == memory.read(i).captions);
  }
  CHECK(files.shards()[1].checksum == memory.shards()[1].checksum);
}

TEST_CASE("Several processes index together, and a killed one leaves whole files", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shards = some_shards(folder, 40, 3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] { static_cast<void>(index_shards(shards, {.threads = 4})); });
  for (auto& thread : threads) thread.join();
  CHECK(index_shards(shards).scanned == 0);

  for (const auto& shard : shards) fs::remove(shard + ".index");
  const pid_t child = ::fork();
  if (child == 0) {
    static_cast<void>(index_shards(
        shards, {.threads = 2, .on_progress = [](std::int64_t done, std::int64_t, std::int64_t) {
                   if (done == 10) ::raise(SIGKILL);
                 }}));
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  std::int64_t written = 0;
  for (const auto& shard : shards) {
    written += fs::exists(shard + ".index");
    if (fs::exists(shard + ".index")) CHECK(ShardIndex::open(shard, shard + ".index"));
  }
  CHECK(written >= 10);
  CHECK(written <= 12);  // Both threads may have written one more.
  CHECK(index_shards(shards).scanned == 40 - written);
}

TEST_CASE("414 million samples take less than 200 MB and are read from any place", "[data][cpu]") {
  // The shards are names of one file, which is all that differs from LAION-400M here.
  constexpr int kShards = 41'455;
  constexpr int kSamples = 10'000;
  const test::TemporaryFolder folder;
  const auto shard = write_old(folder, "first.tar", tar_of_samples(kSamples));
  REQUIRE(index_shards({shard}).scanned == 1);
  std::vector<std::string> shards;
  for (int i = 0; i < kShards; ++i) {
    shards.push_back(folder / (std::to_string(100'000 + i) + ".tar"));
    fs::create_hard_link(shard, shards.back());
    fs::create_hard_link(shard + ".index", shards.back() + ".index");
  }
  const std::int64_t before = resident_bytes();
  const auto source = std::make_shared<const ShardSource>(shards);
  CHECK(source->size() == std::int64_t{kShards} * kSamples);
  std::int64_t used = resident_bytes() - before;
  {
    DataLoader loader(source, ImageTransform({.image_size = 1, .train = true}),
                      [](std::string_view text) {
                        return std::vector<std::int64_t>{std::stoll(std::string(text.substr(7)))};
                      },
                      {.batch_size = 64, .seed = 3});
    loader.start_epoch(1, 300'000'000);
    const auto batch = loader.next();
    REQUIRE(batch);
    const EpochOrder order(source->shard_sizes(), {.window = 32}, 3, 1);
    for (std::int64_t row = 0; row < 64; ++row)
      CHECK(batch->at("text")[row][0].item<std::int64_t>() == order(300'000'000 + row) % kSamples);
    used = std::max(used, resident_bytes() - before);
  }
  CHECK(used < 200'000'000);
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/shard_stage.hpp"

#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "data/image_encode.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr int kShards = 6, kPerShard = 10;

/// Shards on a "remote" folder, and a local folder for copies.
class Remote {
 public:
  Remote() {
    for (int shard = 0; shard < kShards; ++shard) {
      test::Files files;
      for (int i = 0; i < kPerShard; ++i) {
        const int number = shard * kPerShard + i;
        const auto ppm = encode_ppm(test::picture(20, 16, number));
        files.emplace_back("s" + std::to_string(number) + ".ppm",
                           std::string(ppm.begin(), ppm.end()));
        files.emplace_back("s" + std::to_string(number) + ".txt", "text");
      }
      shards_.push_back(
          folder_.write("remote/" + std::to_string(shard) + ".tar", test::tar_of(files)));
    }
  }
  [[nodiscard]] const std::vector<std::string>& shards() const { return shards_; }
  [[nodiscard]] std::vector<std::string> commands() const {
    std::vector<std::string> commands;
    for (const auto& shard : shards_)
      commands.push_back("pipe:echo " + shard + " >> " + log() + "; cat " + shard);
    return commands;
  }
  [[nodiscard]] std::string stage() const { return folder_ / "stage"; }
  [[nodiscard]] std::string log() const { return folder_ / "log"; }
  [[nodiscard]] std::int64_t shard_bytes() const {
    return static_cast<std::int64_t>(std::filesystem::file_size(shards_[0]));
  }
  /// How often commands have run.
  [[nodiscard]] int runs() const {
    std::ifstream file(log());
    int lines = 0;
    for (std::string line; std::getline(file, line);) ++lines;
    return lines;
  }
  [[nodiscard]] int copies() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(stage()))
      count += entry.path().extension() == ".tar";
    return count;
  }

 private:
  test::TemporaryFolder folder_;
  std::vector<std::string> shards_;
};

std::vector<std::int64_t> letters(std::string_view text) {
  return {text.begin(), text.end()};
}

/// The batches of an epoch, as text.
std::vector<std::string> epoch(const std::shared_ptr<const SampleSource>& source,
                               std::int64_t number = 0, std::int64_t first = 0) {
  DataLoader loader(source, ImageTransform({.image_size = 8, .train = true}), letters,
                    {.batch_size = 5, .shuffle_window = 2});
  loader.start_epoch(number, first);
  std::vector<std::string> batches;
  while (const auto batch = loader.next()) {
    const auto& image = batch->at("image");
    std::string text(static_cast<const char*>(image.const_data_ptr()), image.nbytes());
    for (const auto& key : batch->keys) text += key;
    batches.push_back(std::move(text));
  }
  return batches;
}

}  // namespace

TEST_CASE("A stage gives the samples of the shards it copies", "[data][cpu]") {
  const Remote remote;
  const auto direct = std::make_shared<const ShardSource>(remote.shards());
  const auto expected = epoch(direct, 1);
  const auto staged = std::make_shared<const ShardSource>(
      remote.shards(), ShardSourceOptions{.stage = {.folder = remote.stage()}});
  CHECK(epoch(staged, 1) == expected);
  CHECK(remote.copies() == kShards);
  for (std::size_t i = 0; i < kShards; ++i) {
    CHECK(staged->shards()[i].name == direct->shards()[i].name);
    CHECK(staged->shards()[i].checksum == direct->shards()[i].checksum);
  }
  // A second run finds the copies, even if the shards can no longer be read.
  for (const auto& shard : remote.shards()) std::filesystem::permissions(shard, {});
  const auto again = std::make_shared<const ShardSource>(
      remote.shards(), ShardSourceOptions{.stage = {.folder = remote.stage()}});
  CHECK(epoch(again, 1) == expected);
}

TEST_CASE("Commands give the samples of the shards that they write", "[data][cpu]") {
  const Remote remote;
  const auto expected = epoch(std::make_shared<const ShardSource>(remote.shards()), 1);
  const ShardSourceOptions options{.stage = {.folder = remote.stage()}};
  const auto source = std::make_shared<const ShardSource>(remote.commands(), options);
  CHECK(remote.runs() == kShards);  // Each command once for its index.
  CHECK(source->shards()[2].name == "2.tar");
  CHECK(epoch(source, 1) == expected);
  CHECK(epoch(std::make_shared<const ShardSource>(remote.commands(), options), 1) == expected);
  CHECK(remote.runs() == kShards);  // The copies and the indexes are still there.
  CHECK_THROWS_WITH(ShardSource(remote.commands()), Contains("set stage-folder"));
}

TEST_CASE("A limited stage keeps the window in use, and runs go on where they stopped",
          "[data][cpu]") {
  const Remote remote;
  const auto expected = epoch(std::make_shared<const ShardSource>(remote.shards()), 1);
  // Two windows of two shards. A window may begin while samples of the last one are being read.
  const ShardSourceOptions options{
      .stage = {.folder = remote.stage(), .bytes = 4 * remote.shard_bytes(), .threads = 2}};
  CHECK(epoch(std::make_shared<const ShardSource>(remote.commands(), options), 1) == expected);
  const auto resumed =
      epoch(std::make_shared<const ShardSource>(remote.commands(), options), 1, 30);
  CHECK(resumed == std::vector<std::string>(expected.begin() + 6, expected.end()));

  ShardStage stage(
      remote.shards(),
      {.folder = remote.stage() + "2", .bytes = 3 * remote.shard_bytes(), .threads = 1});
  stage.will_open({5, 4, 3, 2, 1, 0}, 1);
  for (const std::size_t shard : {5, 4, 3, 2, 1, 0}) {
    CHECK(stage.open(shard)->size() == std::filesystem::file_size(remote.shards()[shard]));
    CHECK(stage.bytes_in_use() <= 3 * remote.shard_bytes());
  }

  ShardStage small(
      remote.shards(),
      {.folder = remote.stage() + "3", .bytes = 2 * remote.shard_bytes(), .threads = 1});
  small.will_open({0, 1, 2, 3, 4, 5}, 3);
  CHECK_THROWS_WITH(
      [&] {
        for (const std::size_t shard : {0, 1, 2}) static_cast<void>(small.open(shard));
      }(),
      Contains("the shards of a window need more than") && Contains("raise the limit"));
}

TEST_CASE("Shards are copied before they are opened", "[data][cpu]") {
  const Remote remote;
  ShardStage stage(remote.shards(), {.folder = remote.stage(), .threads = 2});
  stage.will_open({3, 1, 0, 2, 4, 5}, 2);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (remote.copies() < 4 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(remote.copies() == 4);  // Of this window and the next one.
  for (const std::size_t shard : {3, 1, 0, 2})
    CHECK(std::filesystem::exists(ShardStage::copy_path(remote.shards()[shard], remote.stage())));
  static_cast<void>(stage.open(0));  // The second window begins, so the third one is copied.
  while (remote.copies() < 6 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(remote.copies() == 6);
}

TEST_CASE("A command that fails is named with its exit code and what it wrote", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto open = [&](const std::string& command, double patience = 60.0) {
    ShardStage stage({"pipe:" + command}, {.folder = folder / "stage", .patience = patience});
    return stage.open(0)->size();
  };
  CHECK(open("printf abc") == 3);
  CHECK_THROWS_WITH(open("echo no such bucket >&2; exit 3"), Contains("ended with exit code 3") &&
                                                                 Contains("no such bucket") &&
                                                                 Contains("after 3 attempts"));
  CHECK_THROWS_WITH(open("kill -9 $$"), Contains("signal 9"));
  CHECK_THROWS_WITH(open("true # empty"), Contains("has written nothing"));
  CHECK_THROWS_WITH(open("printf abc; sleep 100", 0.3), Contains("written nothing for 0.3 s"));
  // A command that fails at first may work a moment later.
  const auto mark = folder / "mark";
  CHECK(open("test -e " + mark + " && printf abcd || { touch " + mark + "; exit 1; }") == 4);
  // What a failed command wrote is not used.
  std::set<std::uintmax_t> sizes;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "stage"))
    sizes.insert(entry.file_size());
  CHECK(sizes == std::set<std::uintmax_t>{3, 4});
}

TEST_CASE("A shard that cannot be copied costs its samples and not the run", "[data][cpu]") {
  const Remote remote;
  auto commands = remote.commands();
  const ShardSourceOptions options{.stage = {.folder = remote.stage()}};
  { const ShardSource index(commands, options); }
  std::filesystem::remove(ShardStage::copy_path(commands[2], remote.stage()));
  std::filesystem::remove(remote.shards()[2]);
  const auto source = std::make_shared<const ShardSource>(commands, options);
  LoaderOptions loading{.batch_size = 6, .max_unusable_fraction = 1.0};
  DataLoader loader(source, ImageTransform({.image_size = 8, .train = true}), letters, loading);
  loader.start_epoch(0);
  int batches = 0;
  while (loader.next()) ++batches;
  CHECK(batches == 10);
  CHECK(loader.statistics().skipped == kPerShard);
  CHECK_THAT(loader.statistics().first_skipped.front(), Contains("exit code 1"));
  // A shorter output than that of the index is no copy of the shard.
  const auto shorter = ShardStage::copy_path(commands[3], remote.stage());
  std::filesystem::resize_file(shorter, 512);
  CHECK_THROWS_WITH(source->read(3 * kPerShard),
                    Contains("the copy has 512 bytes, and its index is of"));
}

TEST_CASE("A stage ends while a command is running", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  {
    ShardStage stage({"pipe:sleep 100"}, {.folder = folder / "stage"});
    stage.will_open({0}, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("Stages of several processes share the copies", "[data][cpu]") {
  const Remote remote;
  const auto commands = remote.commands();
  std::vector<std::unique_ptr<ShardStage>> stages;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    stages.push_back(
        std::make_unique<ShardStage>(commands, ShardStageOptions{.folder = remote.stage()}));
  std::atomic<std::uint64_t> bytes = 0;
  for (auto& stage : stages)
    threads.emplace_back([&] {
      for (std::size_t shard = 0; shard < kShards; ++shard) bytes += stage->open(shard)->size();
    });
  for (auto& thread : threads) thread.join();
  CHECK(bytes == 4 * static_cast<std::uint64_t>(kShards * remote.shard_bytes()));
  CHECK(remote.runs() == kShards);
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/data/replayed_views.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "contrapunto/data/csv_source.hpp"
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/folder_source.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "data/image_encode.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

const ImageTransform kViews({.image_size = 12, .train = true, .crop_scale = {0.3, 1.0}});

void write_shard(const std::filesystem::path& path, int first, int count,
                 const std::string& caption = "a picture") {
  test::Files files;
  for (int i = first; i < first + count; ++i) {
    const auto key = std::to_string(i);
    files.emplace_back(key + ".ppm", test::text(encode_ppm(test::picture(20, 16, i))));
    files.emplace_back(key + ".txt", caption);
  }
  std::ofstream(path, std::ios::binary) << test::tar_of(files);
}

/// The pixels of each key in an epoch.
std::map<std::string, std::string> pixels(std::shared_ptr<const SampleSource> source,
                                          LoaderOptions options, std::int64_t epoch = 0) {
  options.batch_size = 4;
  DataLoader loader(std::move(source), kViews, nullptr, options);
  std::map<std::string, std::string> all;
  loader.start_epoch(epoch);
  while (const auto batch = loader.next())
    for (std::int64_t row = 0; row < batch->size(); ++row) {
      const auto image = batch->at("image")[row].contiguous();
      all[batch->keys[static_cast<std::size_t>(row)]] =
          std::string(static_cast<const char*>(image.const_data_ptr()), image.nbytes());
    }
  return all;
}

}  // namespace

TEST_CASE("Each run of epochs uses each replayed view once", "[data][cpu]") {
  const ReplayedViews replay{.views = 5, .seed = 3};
  std::set<std::int64_t> first_views;
  for (std::int64_t index = 0; index < 200; ++index) {
    first_views.insert(replay.view_in(9, 0, index));
    for (const std::int64_t begin : {0, 7}) {
      std::set<std::int64_t> seen;
      for (std::int64_t epoch = begin; epoch < begin + 5; ++epoch)
        seen.insert(replay.view_in(9, epoch, index));
      CHECK(seen == std::set<std::int64_t>{0, 1, 2, 3, 4});
    }
  }
  CHECK(first_views.size() == 5);
  CHECK(ReplayedViews{.views = 1}.view_in(9, 12, 3) == 0);
}

TEST_CASE("A replayed view has random numbers of its own", "[data][cpu]") {
  const DataShard shard{"a", 10, 77}, other{"b", 10, 78};
  const ReplayedViews replay{.views = 3, .seed = 5}, another{.views = 3, .seed = 6};
  std::set<std::uint32_t> first = {RandomStream(5, 0, 1).next(), RandomStream(77, 0, 1).next()};
  for (const auto* views : {&replay, &another})
    for (const auto* which : {&shard, &other})
      for (std::int64_t place = 0; place < 3; ++place)
        for (std::int64_t view = 0; view < 3; ++view)
          first.insert(views->stream(*which, place, view).next());
  CHECK(first.size() == 2 + 2 * 2 * 3 * 3);
  // The name of a shard and the number of views do not matter.
  CHECK(ReplayedViews{.views = 9, .seed = 5}.stream({"c", 20, 77}, 2, 1).next() ==
        replay.stream(shard, 2, 1).next());
}

TEST_CASE("Replayed views depend on the shard and not on the other data or the run",
          "[data][cpu]") {
  const test::TemporaryFolder folder, moved;
  write_shard(folder / "a-0.tar", 0, 8);
  write_shard(folder / "a-1.tar", 8, 8);
  const auto all = std::make_shared<ShardSource>(folder / "a-{0..1}.tar");
  const LoaderOptions options{.seed = 1, .replay = {.views = 1, .seed = 4}};
  const auto expected = pixels(all, options);
  CHECK(expected.size() == 16);
  CHECK(pixels(all, options, 6) == expected);  // one view, so each epoch has the same
  auto of_run = options;
  of_run.seed = 2;
  of_run.threads = 5;
  CHECK(pixels(all, of_run) == expected);
  of_run.replay.seed = 5;
  CHECK(pixels(all, of_run) != expected);

  std::filesystem::rename(folder / "a-1.tar", moved / "a-1.tar");
  const auto part = std::make_shared<ShardSource>(moved / "a-1.tar");
  for (const auto& [key, image] : pixels(part, options)) CHECK(image == expected.at(key));

  auto three = options;
  three.replay.views = 3;
  std::map<std::string, std::set<std::string>> seen;
  for (std::int64_t epoch = 0; epoch < 6; ++epoch)
    for (const auto& [key, image] : pixels(part, three, epoch)) seen[key].insert(image);
  for (const auto& [key, images] : seen) {
    CHECK(images.size() == 3);
    CHECK(images.count(expected.at(key)) == 1);  // more views do not change the first
  }
}

TEST_CASE("A shard is known by its samples, wherever it lies", "[data][cpu]") {
  const test::TemporaryFolder folder, other;
  write_shard(folder / "a-0.tar", 0, 4);
  write_shard(other / "a-0.tar", 0, 4);
  write_shard(folder / "a-1.tar", 0, 5);
  write_shard(folder / "a-2.tar", 1, 4);
  write_shard(folder / "a-3.tar", 0, 4, "another text");
  const auto shards = ShardSource(folder / "a-{0..3}.tar").shards();
  REQUIRE(shards.size() == 4);
  CHECK(shards[1].name == "a-1.tar");
  CHECK(shards[1].samples == 5);
  std::set<std::uint64_t> sums;
  for (const auto& shard : shards) sums.insert(shard.checksum);
  CHECK(sums.size() == 4);
  CHECK(ShardSource(other / "a-0.tar").shards()[0].checksum == shards[0].checksum);
}

TEST_CASE("Sources without shards are divided into equal ones", "[data][cpu]") {
  const auto shards = SyntheticShapes({.samples = 20'001}).shards();
  REQUIRE(shards.size() == 3);
  CHECK(shards[0].samples == 10'000);
  CHECK(shards[2].samples == 1);
  CHECK(shards[2].name == "synthetic-2");
  CHECK(SyntheticShapes({.samples = 20'002}).shards()[1].checksum == shards[1].checksum);
  CHECK(SyntheticShapes({.samples = 20'001, .seed = 1}).shards()[1].checksum != shards[1].checksum);

  const test::TemporaryFolder folder;
  const auto table = [&](const std::string& rows) {
    std::ofstream(folder / "list.csv") << "filepath,title\n" << rows;
    return CsvSource(folder / "list.csv").shards();
  };
  const auto rows = table("a.jpg,one\nb.jpg,two\n");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].name == "list.csv-0");
  CHECK(rows[0].samples == 2);
  CHECK(table("a.jpg,one\nb.jpg,two\n")[0].checksum == rows[0].checksum);
  CHECK(table("a.jpg,one\nb.jpg,tw0\n")[0].checksum != rows[0].checksum);
  CHECK(table("a.jpg,one\nb.jpg,two\nc.jpg,three\n")[0].checksum != rows[0].checksum);

  std::filesystem::create_directories(folder / "images/cat");
  std::ofstream(folder / "images/cat/1.ppm") << "x";
  const auto before = FolderSource(folder / "images").shards();
  CHECK(before[0].name == "images-0");
  std::filesystem::rename(folder / "images/cat", folder / "images/dog");
  CHECK(FolderSource(folder / "images/").shards()[0].checksum != before[0].checksum);

  class OwnSource : public SampleSource {
   public:
    explicit OwnSource(std::string key) : key_(std::move(key)) {}
    [[nodiscard]] std::int64_t size() const override { return 3; }
    [[nodiscard]] EncodedSample read(std::int64_t index) const override {
      if (index == 1) throw DataError("unusable");
      return {.key = key_};
    }

   private:
    std::string key_;
  };
  CHECK(OwnSource("a").shards()[0].checksum == OwnSource("a").shards()[0].checksum);
  CHECK(OwnSource("a").shards()[0].checksum != OwnSource("b").shards()[0].checksum);
}

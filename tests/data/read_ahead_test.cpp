// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/data/source_mixture.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "data/image_encode.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"
#include "support/some_rank.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr std::int64_t kShards = 6, kPerShard = 30;

/// Shards of small images with captions and labels. Sample 7 of each shard is no image.
class Shards {
 public:
  Shards() {
    for (std::int64_t shard = 0; shard < kShards; ++shard) {
      test::Files files;
      for (std::int64_t i = 0; i < kPerShard; ++i) {
        const std::int64_t number = shard * kPerShard + i;
        const auto ppm = encode_ppm(test::picture(20, 16, static_cast<int>(number)));
        const std::string key = "s" + std::to_string(number);
        files.emplace_back(key + ".ppm", i == 7 ? "no image" : std::string(ppm.begin(), ppm.end()));
        files.emplace_back(key + ".txt", "caption " + std::to_string(number));
        files.emplace_back(key + ".cls", std::to_string(number % 10));
      }
      paths_.push_back(folder_.write(std::to_string(shard) + ".tar", test::tar_of(files)));
    }
  }
  [[nodiscard]] std::shared_ptr<const ShardSource> open() const {
    return std::make_shared<const ShardSource>(paths_);
  }

 private:
  test::TemporaryFolder folder_;
  std::vector<std::string> paths_;
};

std::vector<std::int64_t> letters(std::string_view text) {
  return {text.begin(), text.end()};
}

const ImageTransform kTrain(
    {.image_size = 8, .train = true, .crop_scale = {0.3, 1.0}, .horizontal_flip = true});

LoaderOptions ahead(std::int64_t batch, std::int64_t piece, std::int64_t lanes, Ranks ranks = {}) {
  LoaderOptions options{.batch_size = batch, .shuffle_window = 4, .ranks = std::move(ranks)};
  options.read_ahead = {.piece_samples = piece, .pieces_together = 2, .lanes = lanes};
  return options;
}

/// The content of the rows of some batches, by key.
using Rows = std::map<std::string, std::string>;
void add_rows(const Batch& batch, Rows& rows) {
  for (std::int64_t row = 0; row < batch.size(); ++row) {
    const auto image = batch.at("image")[row].contiguous();
    std::string content(static_cast<const char*>(image.const_data_ptr()), image.nbytes());
    content += std::to_string(batch.at("label")[row].item<std::int64_t>());
    CHECK(rows.emplace(batch.keys[static_cast<std::size_t>(row)], std::move(content)).second);
  }
}

/// Bytes and calls of read() and pread() of this process so far, as the system counts them.
struct SystemReads {
  std::int64_t bytes = 0, calls = 0;
  static SystemReads now() {
    std::ifstream file("/proc/self/io");
    SystemReads reads;
    std::string name;
    for (std::int64_t value = 0; file >> name >> value;) {
      if (name == "rchar:") reads.bytes = value;
      if (name == "syscr:") reads.calls = value;
    }
    return reads;
  }
};

}  // namespace

TEST_CASE("A range of a shard source has the samples that reading one by one gives",
          "[data][cpu]") {
  const Shards shards;
  const auto source = shards.open();
  for (const auto& [begin, end] : {std::pair{0, 1}, {3, 29}, {20, 100}, {0, 180}, {179, 180}}) {
    const auto range = source->read_range(begin, end);
    REQUIRE(std::ssize(range) == end - begin);
    for (std::int64_t i = begin; i < end; ++i) {
      const auto& read = range[static_cast<std::size_t>(i - begin)];
      const auto expected = source->read(i);
      CHECK(read.problem.empty());
      CHECK(read.sample.key == expected.key);
      CHECK(read.sample.source == expected.source);
      CHECK(read.sample.image == expected.image);
      CHECK(read.sample.captions == expected.captions);
      CHECK(read.sample.label == expected.label);
    }
  }
  CHECK(source->location(31) == source->read(31).source);
}

TEST_CASE("Batches that are read ahead do not depend on threads, and hold every sample once",
          "[data][cpu]") {
  const Shards shards;
  std::vector<Rows> expected;
  for (const std::int64_t threads : {1, 4}) {
    auto options = ahead(15, 5, 2);
    options.threads = threads;
    DataLoader loader(shards.open(), kTrain, letters, options);
    std::vector<Rows> batches;
    for (const std::int64_t epoch : {0, 1}) {
      loader.start_epoch(epoch);
      std::set<std::string> keys;
      while (const auto batch = loader.next()) {
        add_rows(*batch, batches.emplace_back());
        keys.insert(batch->keys.begin(), batch->keys.end());
      }
      // Substitutes of the six unusable samples are samples that also come at their own place.
      CHECK(keys.size() == kShards * (kPerShard - 1));
    }
    CHECK(loader.statistics().skipped == kShards);
    if (threads == 1)
      expected = batches;
    else
      CHECK(batches == expected);
  }
}

TEST_CASE("Ranks that read ahead have the batches of one process together, also after a resume",
          "[data][cpu]") {
  const Shards shards;
  const auto source = shards.open();
  DataLoader single(source, kTrain, letters, ahead(20, 5, 4));
  for (const std::int64_t first : {0, 20, 60}) {
    single.start_epoch(2, first);
    std::vector<Rows> expected;
    while (const auto batch = single.next()) add_rows(*batch, expected.emplace_back());
    REQUIRE(expected.size() == static_cast<std::size_t>(9 - first / 20));
    for (const std::int64_t ranks : {2, 4}) {
      std::vector<Rows> together(expected.size());
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        DataLoader loader(source, kTrain, letters,
                          ahead(20 / ranks, 5, 4, Ranks(test::SomeRank(rank, ranks))));
        loader.start_epoch(2, first);
        for (auto& rows : together) add_rows(loader.next().value(), rows);
        CHECK_FALSE(loader.next());
      }
      CHECK(together == expected);
    }
  }
}

TEST_CASE("A mixture that is read ahead resumes at any sample, with any ranks and threads",
          "[data][cpu]") {
  const Shards first, second;
  const auto source = std::make_shared<const SourceMixture>(std::vector<SourceMixture::Member>{
      {first.open(), "first", 0.7}, {second.open(), "second", 0.3}});
  const auto options = [](std::int64_t batch, std::int64_t threads, Ranks ranks = {}) {
    auto all = ahead(batch, 7, 4, std::move(ranks));
    all.threads = threads;
    all.epoch_samples = 96;
    return all;
  };
  // The rows of an epoch in the order of their positions: consecutive rows of a batch of one
  // process.
  const auto rows_of = [&](std::int64_t epoch, std::int64_t start, std::int64_t batch,
                           std::int64_t threads) {
    DataLoader loader(source, kTrain, letters, options(batch, threads));
    loader.start_epoch(epoch, start);
    std::vector<std::string> rows;
    while (const auto one = loader.next())
      for (std::int64_t row = 0; row < one->size(); ++row) {
        const auto image = one->at("image")[row].contiguous();
        rows.push_back(
            one->keys[static_cast<std::size_t>(row)] +
            std::string(static_cast<const char*>(image.const_data_ptr()), image.nbytes()));
      }
    return rows;
  };
  for (const std::int64_t epoch : {0, 5}) {
    const auto expected = rows_of(epoch, 0, 4, 1);
    REQUIRE(expected.size() == 96);
    CHECK(rows_of(epoch, 0, 12, 3) == expected);
    for (const std::int64_t start : {1, 7, 30, 61, 92}) {
      const auto rows = rows_of(epoch, start, 4, 2);
      const auto count = static_cast<std::ptrdiff_t>(rows.size());
      CHECK(rows ==
            std::vector<std::string>(expected.begin() + start, expected.begin() + start + count));
      CHECK(count == (96 - start) / 4 * 4);
      for (const std::int64_t ranks : {2, 4}) {
        // Rank r has every ranks-th position.
        std::vector<std::string> together(rows.size());
        for (std::int64_t rank = 0; rank < ranks; ++rank) {
          DataLoader loader(source, kTrain, letters,
                            options(4 / ranks, 1, Ranks(test::SomeRank(rank, ranks))));
          loader.start_epoch(epoch, start);
          std::int64_t position = rank;
          while (const auto batch = loader.next())
            for (std::int64_t row = 0; row < batch->size(); ++row, position += ranks) {
              const auto image = batch->at("image")[row].contiguous();
              together.at(static_cast<std::size_t>(position)) =
                  batch->keys[static_cast<std::size_t>(row)] +
                  std::string(static_cast<const char*>(image.const_data_ptr()), image.nbytes());
            }
        }
        CHECK(together == rows);
      }
    }
  }
}

TEST_CASE("Shards are read in long pieces, each byte once", "[data][cpu]") {
  const Shards shards;
  const auto source = shards.open();
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < source->size(); ++i) bytes += std::ssize(source->read(i).image);
  // With its header and padding, and with the headers of text and label, a sample takes 5 to 8
  // blocks of which the image has 2 or 3.
  const auto read = [&](const LoaderOptions& options) {
    DataLoader loader(source, kTrain, letters, options);
    const auto before = SystemReads::now();
    loader.start_epoch(0);
    while (loader.next()) continue;
    const auto after = SystemReads::now();
    return SystemReads{after.bytes - before.bytes, after.calls - before.calls};
  };
  const auto one_by_one = read({.batch_size = 30});
  CHECK(one_by_one.calls >= 3 * source->size());  // Image, text, label.
  const auto pieces = read(ahead(30, 10, 2));
  // 18 pieces, one of which may be divided between the lanes; and three reads for each of the six
  // substitutes. /proc/self/io itself takes a few.
  CHECK(pieces.calls <= 18 + 1 + 3 * 6 * 2 + 10);
  CHECK(pieces.bytes <= kShards * kPerShard * 8 * 512 + 64 * 1024);
  CHECK(pieces.bytes >= bytes);
}

TEST_CASE("A mistake while reading ahead reaches the caller, and nothing hangs", "[data][cpu]") {
  struct Mistaken : SampleSource {
    [[nodiscard]] std::int64_t size() const override { return 200; }
    [[nodiscard]] EncodedSample read(std::int64_t index) const override {
      if (index == 77) throw std::logic_error("a mistake in the source");
      EncodedSample sample{.key = std::to_string(index), .source = "test"};
      sample.image = encode_ppm(test::picture(20, 16, static_cast<int>(index)));
      sample.captions = {"one"};
      return sample;
    }
  };
  for (int repeat = 0; repeat < 5; ++repeat) {
    auto options = ahead(10, 4, 2);
    options.threads = 3;
    DataLoader loader(std::make_shared<Mistaken>(), kTrain, letters, options);
    loader.start_epoch(0);
    const auto drain = [&] {
      while (loader.next()) continue;
    };
    CHECK_THROWS_WITH(drain(), "a mistake in the source");
  }
}

TEST_CASE("A loader that reads ahead can be destroyed or restarted at any time", "[data][cpu]") {
  const Shards shards;
  const auto source = shards.open();
  for (int batches = 0; batches < 6; ++batches) {
    DataLoader loader(source, kTrain, letters, ahead(10, 5, 4));
    loader.start_epoch(0);
    for (int i = 0; i < batches; ++i) CHECK(loader.next());
    loader.start_epoch(1, 10 * batches);
    CHECK(loader.next());
  }
}

TEST_CASE("A read that hangs is named", "[data][cpu]") {
  struct Hanging : SampleSource {
    [[nodiscard]] std::int64_t size() const override { return 20; }
    [[nodiscard]] EncodedSample read(std::int64_t index) const override {
      if (index == 13)
        while (!go_on) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      EncodedSample sample{.key = std::to_string(index), .source = "test"};
      sample.image = encode_ppm(test::picture(20, 16, static_cast<int>(index)));
      sample.captions = {"one"};
      return sample;
    }
    [[nodiscard]] std::string location(std::int64_t index) const override {
      return "file " + std::to_string(index / 10) + ".tar";
    }
    mutable std::atomic<bool> go_on = false;
  };
  for (const std::int64_t piece : {0, 10}) {
    const auto source = std::make_shared<Hanging>();
    auto options = ahead(20, piece, 2);
    options.stall_seconds = 0.05;
    std::vector<std::string> reports;
    options.on_stall = [&](const std::string& report) {
      reports.push_back(report);
      if (reports.size() == 2) source->go_on = true;
    };
    DataLoader loader(source, kTrain, letters, options);
    loader.start_epoch(0);
    CHECK(loader.next());
    REQUIRE(reports.size() >= 2);
    CHECK_THAT(reports[0], Contains("no batch for"));
    CHECK_THAT(reports[0], Contains("reading file "));
    CHECK_THAT(reports[0], Contains(".tar has taken"));
  }
}

TEST_CASE("Reading ahead that cannot work is refused", "[data][cpu]") {
  const Shards shards;
  const auto source = shards.open();
  const auto make = [&](const LoaderOptions& options) {
    DataLoader(source, kTrain, letters, options);
  };
  CHECK_THROWS_WITH(make(ahead(10, 5, 3, Ranks(test::SomeRank(0, 2)))),
                    Contains("lanes (3) must be a multiple of the number of ranks (2)"));
  CHECK_THROWS_WITH(make(ahead(10, 5, 1000)), Contains("fewer than the 1000 lanes"));
  auto cached = ahead(10, 5, 2);
  cached.cache_decoded = true;
  CHECK_THROWS_WITH(make(cached), Contains("exclude each other"));
  auto evaluation = ahead(10, 5, 2);
  evaluation.train = false;
  CHECK_THROWS_WITH(make(evaluation), Contains("are for training"));
}

TEST_CASE("Epochs of another length go through the data in passes", "[data][cpu]") {
  const Shards shards;
  const auto source = shards.open();
  LoaderOptions options{.batch_size = 10, .epoch_samples = 60, .max_unusable_fraction = 1.0};
  DataLoader loader(source, kTrain, letters, options);
  CHECK(loader.batches_per_epoch() == 6);
  CHECK(loader.samples_per_epoch() == 60);
  std::multiset<std::string> keys;
  Rows first_pass;
  for (const std::int64_t epoch : {0, 1, 2}) {
    loader.start_epoch(epoch);
    while (const auto batch = loader.next()) keys.insert(batch->keys.begin(), batch->keys.end());
  }
  CHECK(std::set<std::string>(keys.begin(), keys.end()).size() == kShards * (kPerShard - 1));
  CHECK(loader.describe_epoch().size() == 1);

  loader.start_epoch(1);
  const auto batch = loader.next();
  const State state = loader.save_state();
  const auto next = loader.next();
  DataLoader resumed(source, kTrain, letters, options);
  resumed.load_state(state);
  CHECK(resumed.next()->at("image").equal(next->at("image")));
  options.epoch_samples = 0;
  DataLoader other(source, kTrain, letters, options);
  CHECK_THROWS_WITH(other.load_state(state), Contains("epochs of 60 samples"));
}

TEST_CASE("A sample that comes twice in an epoch has another crop each time", "[data][cpu]") {
  const Shards shards;
  LoaderOptions options{.batch_size = 180, .epoch_samples = 720, .max_unusable_fraction = 1.0};
  for (const bool with_replacement : {false, true}) {
    options.with_replacement = with_replacement;
    DataLoader loader(shards.open(), kTrain, letters, options);
    loader.start_epoch(0);
    std::map<std::string, std::set<std::string>> crops;
    std::int64_t rows = 0;
    while (const auto batch = loader.next())
      for (std::int64_t row = 0; row < batch->size(); ++row, ++rows) {
        const auto image = batch->at("image")[row].contiguous();
        crops[batch->keys[static_cast<std::size_t>(row)]].emplace(
            static_cast<const char*>(image.const_data_ptr()), image.nbytes());
      }
    std::int64_t different = 0;
    for (const auto& [key, images] : crops) different += std::ssize(images);
    // Two crops of a small image can be equal by chance, and a substitute comes with its own crop
    // of the same pass.
    CHECK(different > rows * 9 / 10);
  }
}

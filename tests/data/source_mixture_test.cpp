// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/source_mixture.hpp"

#include <map>
#include <sstream>

#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/data_settings.hpp"
#include "contrapunto/data/label_captions.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "data/image_encode.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

std::string ppm(int seed) {
  const auto bytes = encode_ppm(test::picture(20, 16, seed));
  return {bytes.begin(), bytes.end()};
}

/// A folder with two sets of shards, "a" with 60 samples in three shards and "b" with 20 in one,
/// and a table of 10 images.
class Sets {
 public:
  Sets() {
    for (int shard = 0; shard < 3; ++shard) write_shard("a", shard, 20);
    write_shard("b", 0, 20);
    folder_.write("a/classes.txt", "cat\ndog\n");
    folder_.write("b/classes.txt", "car\nbus\n");
    std::string table = "filepath,title\n";
    for (int i = 0; i < 10; ++i) {
      const std::string name = "c" + std::to_string(i) + ".ppm";
      folder_.write(name, ppm(i));
      table += name + ",text\n";
    }
    folder_.write("c.csv", table);
  }
  [[nodiscard]] std::string a() const { return folder_ / "a"; }
  [[nodiscard]] std::string b() const { return folder_ / "b"; }
  [[nodiscard]] std::string c() const { return folder_ / "c.csv"; }

 private:
  void write_shard(const std::string& set, int shard, int samples) {
    test::Files files;
    for (int i = 0; i < samples; ++i) {
      const std::string key = set + std::to_string(shard * samples + i);
      files.emplace_back(key + ".ppm", ppm(i));
      files.emplace_back(key + ".cls", std::to_string(i % 2));
      if (i != 5) files.emplace_back(key + ".txt", "text of " + key);
    }
    folder_.write(set + "/" + std::to_string(shard) + ".tar", test::tar_of(files));
  }
  test::TemporaryFolder folder_;
};

std::vector<std::int64_t> letters(std::string_view text) {
  return {text.begin(), text.end()};
}

std::map<char, int> counts_by_set(DataLoader& loader, std::int64_t epoch) {
  std::map<char, int> counts;
  loader.start_epoch(epoch);
  while (const auto batch = loader.next())
    for (const auto& key : batch->keys) ++counts[key.front()];
  return counts;
}

}  // namespace

TEST_CASE("A mixture has the samples of its sources after each other", "[data][cpu]") {
  const Sets sets;
  const auto mixture = open_data_source(sets.a() + "::" + sets.c() + "::" + sets.b());
  const auto a = open_data_source(sets.a()), b = open_data_source(sets.b()),
             c = open_data_source(sets.c());
  REQUIRE(mixture->size() == 90);
  CHECK(mixture->shard_sizes() == std::vector<std::int64_t>{20, 20, 20, 10, 20});
  CHECK(mixture->shards().size() == a->shards().size() + b->shards().size() + c->shards().size());
  CHECK(mixture->parts().empty());
  for (std::int64_t i = 0; i < 90; ++i) {
    const auto expected = i < 60 ? a->read(i) : i < 70 ? c->read(i - 60) : b->read(i - 70);
    const auto sample = mixture->read(i);
    CHECK(mixture->read_without_image(i).image_bytes == sample.image.size());
    CHECK(sample.key == expected.key);
    CHECK(sample.image == expected.image);
    CHECK(sample.captions == expected.captions);
    CHECK_FALSE(sample.label);  // The classes of the sources are different.
    CHECK_FALSE(mixture->label(i));
  }
  const auto range = mixture->read_range(55, 75);
  REQUIRE(range.size() == 20);
  for (std::int64_t i = 0; i < 20; ++i)
    CHECK(range[static_cast<std::size_t>(i)].sample.key == mixture->read(55 + i).key);
  CHECK_THAT(mixture->location(75), Contains("b/0.tar"));
  CHECK(mixture->class_names().empty());
  REQUIRE(mixture->notes().size() == 1);
  CHECK_THAT(mixture->notes().front(), Contains("labels are left out"));

  const auto same = open_data_source(sets.a() + "/0.tar::" + sets.a(), {.shares = {1, 1}});
  CHECK(same->class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(same->label(3) == a->label(3));
}

TEST_CASE("Shards without shares are one source, with the class names of the first folder",
          "[data][cpu]") {
  const Sets sets;
  const auto source = open_data_source(sets.a() + "::" + sets.b());
  CHECK(source->size() == 80);
  CHECK(source->class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(source->label(61) == 1);
  CHECK(source->notes().empty());
}

TEST_CASE("A loader draws from the sources in proportion to their shares", "[data][cpu]") {
  const Sets sets;
  DataSettings settings;
  settings.train_data = sets.a() + "::" + sets.b();
  settings.data_shares = {"1", "3"};
  settings.caption_templates = {"a photo of a {}."};  // Some samples have no text of their own.
  std::ostringstream out;
  for (const auto& [epoch_samples, samples] :
       {std::pair{"all", 80}, {"40", 40}, {"part 1", 240}, {"part 2", 27}}) {
    settings.epoch_samples = epoch_samples;
    const auto source = open_data(settings, settings.train_data, out);
    const auto options = with_data_settings({.batch_size = 8}, settings, *source);
    DataLoader loader(source, ImageTransform({.image_size = 8, .train = true}), letters, options);
    CHECK(loader.samples_per_epoch() == samples);
    const auto counts = counts_by_set(loader, 1);
    const int given = samples / 8 * 8;
    CHECK(std::abs(counts.at('a') - given / 4) <= 1);
    CHECK(counts.at('a') + counts.at('b') == given);
    REQUIRE(loader.describe_epoch().size() == 2);
    const std::string share = samples == 27 ? "74.07 % of an epoch" : "75 % of an epoch";
    CHECK_THAT(loader.describe_epoch()[1], Contains(share));
  }
  settings.epoch_samples = "part 3";
  const auto source = open_data(settings, settings.train_data, out);
  CHECK_THROWS_WITH(with_data_settings({}, settings, *source), Contains("has 2 parts"));
  for (const char* wrong : {"", "0", "-3", "part 0", "part", "some"}) {
    settings.epoch_samples = wrong;
    CHECK_THROWS_WITH(with_data_settings({}, settings, *source),
                      Contains("must be a positive number, 'all', or 'part 1'"));
  }
}

TEST_CASE("A mixture that cannot work is refused", "[data][cpu]") {
  const Sets sets;
  const std::string both = sets.a() + "::" + sets.b();
  const auto open = [](const std::string& spec, std::vector<double> shares) {
    return open_data_source(spec, {.shares = std::move(shares)});
  };
  CHECK_THROWS_WITH(open(both, {1}), Contains("1 shares for 2 parts"));
  CHECK_THROWS_WITH(open(both, {1, 0}), Contains("(0) must be positive"));
  CHECK_THROWS_WITH(open(sets.a() + "::", {}), Contains("an empty part"));
  const auto a = open_data_source(sets.a());
  CHECK_THROWS_WITH(SourceMixture({}), Contains("no source"));
  CHECK_THROWS_WITH(SourceMixture({{nullptr, "x", 0}}), Contains("'x' is null"));
  CHECK_THROWS_WITH(SourceMixture({{a, "x", 1}, {a, "y", 0}}), Contains("each source a share"));
  CHECK_THROWS_WITH(SourceMixture({{open(both, {1, 2}), "x", 0}}), Contains("a mixture itself"));
}

TEST_CASE("Captions are made from class names", "[data][cpu]") {
  const Sets sets;
  const auto plain = open_data_source(sets.a());
  const auto source =
      open_data_source(sets.a(), {.caption_templates = {"a {}", "photos: one {}, the {}"}});
  for (std::int64_t i = 0; i < source->size(); ++i) {
    const std::string name = i % 2 == 0 ? "cat" : "dog";
    const std::vector<std::string> expected = {"a " + name,
                                               "photos: one " + name + ", the " + name};
    CHECK(source->read(i).captions == expected);
    CHECK(source->read(i).image == plain->read(i).image);
  }
  CHECK(source->read_range(3, 4).front().sample.captions == source->read(3).captions);
  CHECK(source->read_without_image(3).captions == source->read(3).captions);
  CHECK(source->label(3) == 1);
  CHECK(source->shard_sizes() == plain->shard_sizes());
  CHECK(source->location(1) == plain->location(1));
  // A table has no classes, so its captions stay.
  CHECK(open_data_source(sets.c(), {.caption_templates = {"a {}"}})->read(0).captions ==
        std::vector<std::string>{"text"});

  const test::TemporaryFolder folder;
  folder.write("0.tar", test::tar_of({{"1.ppm", ppm(1)}, {"1.cls", "2"}}));
  folder.write("classes.txt", "cat\ndog\n");
  const auto outside = open_data_source(folder / "0.tar", {.caption_templates = {"a {}"}});
  CHECK_THROWS_WITH(outside->read(0), Contains("label 2 has no name; there are 2"));
  CHECK_THAT(outside->read_range(0, 1).front().problem, Contains("label 2 has no name"));
  CHECK_THROWS_WITH(open_data_source(folder / "0.tar", {.caption_templates = {"a"}}),
                    Contains("no {}"));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/cached_source.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "contrapunto/data/csv_source.hpp"
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/folder_source.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/data/with_image_cache.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/encode_jpeg.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "contrapunto/image/resize.hpp"
#include "contrapunto/io/read_file.hpp"
#include "data/contains.hpp"
#include "data/image_encode.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"
#include "support/file_size_limit.hpp"

using namespace contrapunto;

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

Bytes jpeg_of(const RgbImage& image) {
  return test::encode_jpeg(image.data(), static_cast<int>(image.width()),
                           static_cast<int>(image.height()), 3);
}

/// Shards of `samples` JPEG images of 60 x 45 and 45 x 60 pixels; those in `broken` are cut off.
std::shared_ptr<const ShardSource> some_shards(const test::TemporaryFolder& folder, int shards,
                                               int samples, const std::set<int>& broken = {}) {
  std::vector<std::string> paths;
  for (int shard = 0; shard < shards; ++shard) {
    test::Files files;
    for (int i = shard * samples; i < (shard + 1) * samples; ++i) {
      auto image = jpeg_of(i % 2 ? test::picture(60, 45, i) : test::picture(45, 60, i));
      if (broken.count(i)) image.resize(image.size() / 2);
      files.emplace_back(std::to_string(i) + ".jpg", test::text(image));
      files.emplace_back(std::to_string(i) + ".txt", "number " + std::to_string(i));
      files.emplace_back(std::to_string(i) + ".cls", std::to_string(i % 3));
    }
    paths.push_back(folder.write("s-" + std::to_string(shard) + ".tar", test::tar_of(files)));
  }
  return std::make_shared<const ShardSource>(paths);
}

/// A cache of short side 24 that works only when it is told to.
CachedSourceOptions small(const std::string& folder, std::int64_t quality = 90) {
  return {.folder = folder, .recipe = {.side = 24, .quality = quality}, .in_background = false};
}

RgbImage resized(const RgbImage& image, std::int64_t width, std::int64_t height) {
  RgbImage out;
  Resizer()(image, {0, 0, image.width(), image.height()}, width, height, {0, 0, width, height},
            out);
  return out;
}

/// Peak signal-to-noise ratio in dB.
double psnr(const RgbImage& a, const RgbImage& b) {
  REQUIRE(a.bytes() == b.bytes());
  double sum = 0;
  for (std::size_t i = 0; i < a.bytes(); ++i) {
    const double difference = static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]);
    sum += difference * difference;
  }
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.bytes()) / std::max(sum, 1e-9));
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Bytes> images_of(const SampleSource& source) {
  std::vector<Bytes> images;
  for (std::int64_t i = 0; i < source.size(); ++i) images.push_back(source.read(i).image);
  return images;
}

std::vector<std::int64_t> letters(std::string_view text) {
  return {text.begin(), text.end()};
}

/// Everything that a loader makes of an epoch: the pixels, labels, keys and texts.
std::string epoch_of(std::shared_ptr<const SampleSource> source, std::int64_t threads,
                     LoaderStatistics* statistics = nullptr) {
  DataLoader loader(
      std::move(source),
      ImageTransform(
          {.image_size = 16, .train = true, .crop_scale = {0.5, 1.0}, .horizontal_flip = true}),
      letters, {.batch_size = 5, .threads = threads, .seed = 4, .max_unusable_fraction = 1});
  std::string all;
  for (loader.start_epoch(2); const auto batch = loader.next();) {
    for (const char* name : {"image", "text", "label"}) {
      const auto values = batch->at(name).contiguous();
      all.append(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
    }
    for (const auto& key : batch->keys) all += key + ",";
  }
  if (statistics) *statistics = loader.statistics();
  return all;
}

/// Returns whether `folder` has whole files only: each valid, with every sample.
bool all_whole(const std::string& folder, const std::shared_ptr<const SampleSource>& source) {
  std::int64_t known = 0;
  for (const auto& shard : source->shards()) {
    const auto path =
        fs::path(folder) / contrapunto::detail::image_cache_file(shard, small("").recipe);
    if (!fs::exists(path)) continue;
    ++known;
    const contrapunto::detail::RandomAccessFile file(path.string());
    const auto tail = contrapunto::detail::read_image_cache_tail(
        file, contrapunto::detail::image_cache_binding(shard, small("").recipe), shard.samples);
    if (!tail) return false;
  }
  return known == std::ssize(names_in(folder));
}

}  // namespace

TEST_CASE("Cached pixels are those of the resized image", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 2, 3);
  const CachedSource raw(source, small(folder / "cache", 0));
  const CachedSource jpeg(source, small(folder / "cache"));
  for (int round = 0; round < 2; ++round) {  // Made from the source, and read from the cache.
    for (std::int64_t i = 0; i < 6; ++i) {
      const auto expected = i % 2 ? resized(decode_image(source->read(i).image), 32, 24)
                                  : resized(decode_image(source->read(i).image), 24, 32);
      CHECK(raw.read(i).image == encode_ppm(expected));
      const auto encoded = jpeg.read(i).image;
      CHECK(encoded == encode_jpeg(expected, 90));
      CHECK(psnr(decode_image(encoded), expected) > 30);
    }
    CHECK(raw.build(2).images == 6);
    CHECK(jpeg.build(1).images == 6);
  }
  CHECK(names_in(folder / "cache").size() == 4);
}

TEST_CASE("Views of the cache show what views of the photos show", "[data][cpu]") {
  const char* const data = std::getenv("CONTRAPUNTO_DATA");
  if (!data || !*data) {
    WARN("CONTRAPUNTO_DATA is not set; skipped");
    return;
  }
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<const ShardSource>(
      std::string(data) + "/photos/test-000.tar",
      ShardSourceOptions{.index = {.folder = folder / "indexes"}});
  // Two resizes instead of one cost some detail, and JPEG more. Measured on 40 photos: 46.0, 43.3,
  // 39.9 and 37.8 dB.
  for (const auto& [quality, least] : {std::pair{0, 42.0}, {100, 40.0}, {90, 37.0}, {80, 35.0}}) {
    const CachedSource cached(source, {.folder = folder / "cache",
                                       .recipe = {.side = 256, .quality = quality},
                                       .in_background = false});
    const std::int64_t count = std::min<std::int64_t>(source->size(), 40);
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto whole = decode_image(source->read(i).image);
      const auto kept = decode_image(cached.read(i).image);
      CHECK(std::min(kept.width(), kept.height()) == 256);
      sum += psnr(resized(kept, 224, 224), resized(whole, 224, 224));
    }
    INFO("quality " << quality << ": " << sum / static_cast<double>(count) << " dB");
    CHECK(sum / static_cast<double>(count) > least);
  }
}

TEST_CASE("Small images keep their size, and small JPEG files their bytes", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto image = test::picture(24, 40);
  const auto original = encode_jpeg(image, 80);
  folder.write("c/1.jpg", test::text(original));
  folder.write("c/2.webp", test::text(test::encode_webp(image, true)));
  const auto source = std::make_shared<const FolderSource>(folder / "c/..");
  REQUIRE(source->size() == 2);
  const CachedSource better(source, small(folder / "cache", 100));
  const CachedSource worse(source, small(folder / "cache", 30));
  CHECK(better.read(0).image == original);
  CHECK(better.read(1).image == encode_jpeg(image, 100));
  CHECK(worse.read(0).image == encode_jpeg(decode_image(original), 30));
}

TEST_CASE("A strip that is too long for JPEG keeps its raw pixels", "[data][cpu]") {
  const RgbImage strip(kLargestJpegSide + 1, 1);
  contrapunto::detail::CachedImageWorkspace work;
  const auto made = contrapunto::detail::make_cached_image(encode_ppm(strip), {}, work);
  CHECK(made == encode_ppm(strip));
}

TEST_CASE("All but the image is that of the source", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("classes.txt", "a\nb\nc\n");
  const auto source = some_shards(folder, 2, 4);
  const CachedSource cached(source, small(folder / "cache"));
  static_cast<void>(cached.build(1));
  CHECK(cached.size() == 8);
  CHECK(cached.class_names() == source->class_names());
  CHECK(cached.shard_sizes() == source->shard_sizes());
  CHECK(cached.shards()[1].checksum == source->shards()[1].checksum);
  for (std::int64_t i = 0; i < 8; ++i) {
    const auto a = cached.read(i);
    const auto b = source->read(i);
    CHECK(a.key == b.key);
    CHECK(a.source == b.source);
    CHECK(a.captions == b.captions);
    CHECK(a.label == b.label);
    CHECK(a.image_bytes == 0);
    CHECK(cached.label(i) == source->label(i));
    const auto rest = source->read_without_image(i);
    CHECK(rest.image.empty());
    CHECK(rest.image_bytes == b.image.size());
    CHECK(rest.captions == b.captions);
    CHECK(rest.label == b.label);
  }
}

TEST_CASE("Ranges have the same images, whatever the cache has", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 3, 8, {3, 17});
  const CachedSource whole(source, small(folder / "whole"));
  static_cast<void>(whole.build(1));
  const CachedSource fresh(source, small(folder / "fresh"));
  for (const auto& [begin, end] : {std::pair{5, 13}, {0, 24}, {0, 24}}) {
    const auto a = whole.read_range(begin, end), b = fresh.read_range(begin, end);
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK(a[i].problem == b[i].problem);
      CHECK(a[i].sample.image == b[i].sample.image);
      CHECK(a[i].sample.key == b[i].sample.key);
    }
  }
  CHECK(fresh.progress().finished_shards == 3);  // What the ranges made is kept.
  CHECK_FALSE(whole.read_range(3, 4).front().problem.empty());
}

TEST_CASE("Every source reads the rest of a sample without its image", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("c/1.ppm", test::text(encode_ppm(test::picture(4, 4))));
  const auto list = folder.write("list.csv", "filepath,title\nc/1.ppm,one\nc/2.ppm,two\n");
  const CsvSource table(list);
  CHECK(table.read_without_image(0).image_bytes == table.read(0).image.size());
  CHECK(table.read_without_image(0).captions == table.read(0).captions);
  CHECK_THROWS_AS(table.read_without_image(1), DataError);
  const FolderSource classes(folder / "c/..");
  CHECK(classes.read_without_image(0).image_bytes == classes.read(0).image.size());
  CHECK(classes.read_without_image(0).key == classes.read(0).key);
  const SyntheticShapes shapes({.samples = 3});
  CHECK(shapes.read_without_image(2).image_bytes == shapes.read(2).image.size());
  CHECK(shapes.read_without_image(2).image.empty());
}

TEST_CASE("Batches do not depend on how much of the cache exists", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 4, 8, {3, 17});
  LoaderStatistics plain;
  static_cast<void>(epoch_of(source, 2, &plain));
  const auto open = [&](const std::string& name, bool in_background) {
    auto options = small(folder / name);
    options.in_background = in_background;
    return std::make_shared<const CachedSource>(source, options);
  };
  const auto expected = epoch_of(open("none", false), 1);
  REQUIRE_FALSE(expected.empty());
  const auto whole = open("whole", false);
  CHECK(whole->build(3).finished_shards == 4);
  for (const std::int64_t threads : {1, 3}) {
    const auto name = "new-" + std::to_string(threads);
    CHECK(epoch_of(open(name, true), threads) == expected);
    CHECK(epoch_of(open(name, true), threads) == expected);  // With what the first one left.
    LoaderStatistics cached;
    CHECK(epoch_of(whole, threads, &cached) == expected);
    CHECK(cached.skipped == plain.skipped);
    auto first = cached.first_skipped;
    std::sort(first.begin(), first.end());
    std::sort(plain.first_skipped.begin(), plain.first_skipped.end());
    CHECK(first == plain.first_skipped);
  }
  CHECK(plain.skipped == 2);
}

TEST_CASE("What an epoch makes is kept, and a thread makes the rest", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 3, 8);
  auto options = small(folder / "cache");
  {
    const CachedSource cached(source, options);
    for (std::int64_t i = 0; i < 20; ++i) static_cast<void>(cached.read(i));
    CHECK(cached.progress().finished_shards == 2);
    CHECK(cached.progress().images == 20);
  }
  CHECK(names_in(folder / "cache").size() == 2);  // The third one was not complete.
  options.in_background = true;
  const CachedSource cached(source, options);
  CHECK(cached.progress().finished_shards == 2);
  static_cast<void>(cached.read(0));
  const auto begin = std::chrono::steady_clock::now();
  while (cached.progress().finished_shards < 3 &&
         std::chrono::steady_clock::now() - begin < std::chrono::seconds(60))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(cached.progress().finished_shards == 3);
  CHECK(cached.progress().images == 8);
}

TEST_CASE("A build beside reads and the thread ends when every file is finished", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 6, 4);
  for (int round = 0; round < 10; ++round) {
    auto options = small(folder / ("cache-" + std::to_string(round)));
    options.in_background = true;
    const CachedSource cached(source, options);
    std::vector<std::thread> readers;
    for (int reader = 0; reader < 3; ++reader)
      readers.emplace_back([&] { static_cast<void>(images_of(cached)); });
    CHECK(cached.build(2).finished_shards == 6);
    for (auto& reader : readers) reader.join();
    CHECK(all_whole(options.folder, source));
  }
}

TEST_CASE("A run that ends early does not begin further files", "[data][cpu]") {
  class SlowSource : public SampleSource {
   public:
    [[nodiscard]] std::int64_t size() const override { return 100; }
    [[nodiscard]] EncodedSample read(std::int64_t index) const override {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return {.key = std::to_string(index), .image = encode_ppm(test::picture(4, 4))};
    }
    [[nodiscard]] std::vector<DataShard> shards() const override {
      std::vector<DataShard> shards;
      for (int i = 0; i < 100; ++i) shards.push_back({"s" + std::to_string(i), 1, 7});
      return shards;
    }
  };
  const test::TemporaryFolder folder;
  auto options = small(folder / "cache");
  options.in_background = true;
  {
    const CachedSource cached(std::make_shared<const SlowSource>(), options);
    static_cast<void>(cached.read(99));
  }
  CHECK(names_in(folder / "cache/locks").size() < 90);
  for (const auto& name : names_in(folder / "cache"))
    CHECK(name.find(".tmp-") == std::string::npos);
}

TEST_CASE("An image that cannot be decoded has the same error with the cache", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 1, 4, {2});
  const CachedSource cached(source, small(folder / "cache"));
  const auto error_of = [&] {
    try {
      static_cast<void>(cached.read(2));
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto made = error_of();
  CHECK_THAT(made, test::contains("s-0.tar: 2: JPEG: "));
  const auto progress = cached.build(1);
  CHECK(progress.finished_shards == 1);
  CHECK(progress.unusable >= 1);
  CHECK(error_of() == made);
}

TEST_CASE("A sample that the source cannot read is asked for again", "[data][cpu]") {
  const test::TemporaryFolder folder;
  std::string rows = "filepath,title\n";
  for (int i = 0; i < 4; ++i) {
    folder.write(std::to_string(i) + ".ppm", test::text(encode_ppm(test::picture(40, 40, i))));
    rows += std::to_string(i) + ".ppm,one\n";
  }
  const auto source = std::make_shared<const CsvSource>(folder.write("list.csv", rows));
  fs::rename(folder / "1.ppm", folder / "away");
  const CachedSource cached(source, small(folder / "cache"));
  CHECK(cached.build(1).finished_shards == 1);
  CHECK_THROWS_AS(cached.read(1), DataError);
  fs::rename(folder / "away", folder / "1.ppm");
  CHECK(decode_image(cached.read(1).image).width() == 24);
  CHECK(cached.progress().dropped_shards == 0);

  // Where most samples cannot be read, nothing is stored.
  for (int i = 0; i < 3; ++i) fs::remove(folder / (std::to_string(i) + ".ppm"));
  const CachedSource gone(source, small(folder / "other"));
  CHECK(gone.build(1).finished_shards == 0);
  CHECK(names_in(folder / "other").empty());
}

TEST_CASE("Every changed byte and every cut of a file is found", "[data][cpu]") {
  const test::TemporaryFolder folder;
  test::Files files;
  for (int i = 0; i < 3; ++i) {
    files.emplace_back(std::to_string(i) + ".ppm", test::text(encode_ppm(test::picture(7, 5, i))));
    files.emplace_back(std::to_string(i) + ".txt", "x");
  }
  const auto source =
      std::make_shared<const ShardSource>(folder.write("s.tar", test::tar_of(files)));
  auto options = small(folder / "cache", 0);
  static_cast<void>(CachedSource(source, options).build(1));
  const auto path = fs::path(folder / "cache") / names_in(folder / "cache").at(0);
  const std::string whole = read_file(path);
  const auto expected = images_of(*source);
  int found = 0, notes = 0;
  options.on_note = [&](const std::string&) { ++notes; };
  const auto read_with = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    const CachedSource cached(source, options);
    REQUIRE(images_of(cached) == expected);
    // A damaged tail is found at once, and the file is made again by the reads.
    found += cached.progress().dropped_shards == 1 || cached.progress().images == 3;
  };
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
    read_with(bytes);
  }
  CHECK(found == std::ssize(whole));
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, whole.size() / 2, whole.size() - 1})
    read_with(whole.substr(0, size));
  CHECK(found == std::ssize(whole) + 4);
  CHECK(notes == found);
}

TEST_CASE("A damaged file is dropped for the rest of the run, and made again later",
          "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 2, 4);
  auto options = small(folder / "cache");
  static_cast<void>(CachedSource(source, options).build(1));
  const auto path = fs::path(folder / "cache") / names_in(folder / "cache").at(0);
  auto bytes = read_file(path);
  bytes[10] = static_cast<char>(bytes[10] ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
  std::vector<std::string> notes;
  options.on_note = [&](const std::string& note) { notes.push_back(note); };
  {
    const CachedSource cached(source, options);
    static_cast<void>(images_of(cached));
    static_cast<void>(images_of(cached));
    REQUIRE(notes.size() == 1);
    CHECK_THAT(notes[0], test::contains(path.string() + ": sample"));
    CHECK_THAT(notes[0], test::contains("not those that were written"));
    CHECK(cached.progress().dropped_shards == 1);
    CHECK_FALSE(fs::exists(path));
  }
  CHECK(CachedSource(source, options).build(1).images == 4);
  CHECK(fs::exists(path));
}

TEST_CASE("A cache of other images is not used", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto write = [&](int variant, int size) {
    test::Files files;
    for (int i = 0; i < 3; ++i) {
      files.emplace_back(std::to_string(i) + ".ppm",
                         test::text(encode_ppm(test::picture(size, size, variant + i))));
      files.emplace_back(std::to_string(i) + ".txt", "x");
    }
    return std::make_shared<const ShardSource>(folder.write("s.tar", test::tar_of(files)));
  };
  const auto first = write(0, 40);
  static_cast<void>(CachedSource(first, small(folder / "cache", 0)).build(1));
  {
    // Keys and sizes are the same, so only the pixels differ.
    const auto other = write(9, 40);
    const CachedSource cached(other, small(folder / "cache", 0));
    CHECK(decode_image(cached.read(1).image).row(23)[23 * 3 + 2] ==
          resized(decode_image(other->read(1).image), 24, 24).row(23)[23 * 3 + 2]);
    CHECK(cached.build(1).images == 3);
  }
  CHECK(CachedSource(write(0, 41), small(folder / "cache", 0)).build(1).images == 3);
  CHECK(names_in(folder / "cache").size() == 2);  // Another identity, another file.

  // An image of another size behind the same name in a table.
  const auto list = folder.write("list.csv", "filepath,title\nx.ppm,one\n");
  folder.write("x.ppm", test::text(encode_ppm(test::picture(40, 40))));
  static_cast<void>(
      CachedSource(std::make_shared<const CsvSource>(list), small(folder / "table")).build(1));
  folder.write("x.ppm", test::text(encode_ppm(test::picture(48, 30))));
  const CachedSource table(std::make_shared<const CsvSource>(list), small(folder / "table"));
  CHECK(decode_image(table.read(0).image).width() == 38);
}

TEST_CASE("Several processes share the work, and each file is made once", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 12, 6);
  std::vector<pid_t> children;
  for (int child = 0; child < 3; ++child) {
    children.push_back(::fork());
    if (children.back() == 0) {
      const auto progress = CachedSource(source, small(folder / "cache")).build(2);
      ::_exit(progress.finished_shards == 12 ? static_cast<int>(progress.images / 6) : 100);
    }
  }
  int shards = 0;
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    shards += WEXITSTATUS(status);
  }
  CHECK(shards == 12);
  CHECK(all_whole(folder / "cache", source));
}

TEST_CASE("A build that is killed leaves files that are absent or whole", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 6, 20);
  std::vector<Bytes> expected;
  for (std::int64_t i = 0; i < source->size(); ++i)
    expected.push_back(CachedSource(source, small(folder / "none")).read(i).image);
  RandomStream random(5);
  int interrupted = 0;
  for (int round = 0; round < 12; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      static_cast<void>(CachedSource(source, small(folder / "cache")).build(2));
      ::_exit(0);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.integer(30'000)));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    interrupted += WIFSIGNALED(status);
    std::int64_t whole = 0;
    for (const auto& name : names_in(folder / "cache"))
      whole += name.find(".tmp-") == std::string::npos;
    for (const auto& name : names_in(folder / "cache")) {
      if (name.find(".tmp-") != std::string::npos) fs::remove(folder / "cache/" + name);
    }
    CHECK(all_whole(folder / "cache", source));
    if (whole == 6) fs::remove_all(folder / "cache");
    fs::create_directories(folder / "cache");
  }
  CHECK(interrupted > 0);
  const CachedSource cached(source, small(folder / "cache"));
  CHECK(cached.build(2).finished_shards == 6);
  CHECK(images_of(cached) == expected);
}

TEST_CASE("The next build removes what a killed one was writing", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 2, 4);
  const pid_t child = ::fork();
  if (child == 0) {
    const CachedSource cached(source, small(folder / "cache"));
    static_cast<void>(cached.read(0));
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(names_in(folder / "cache").size() == 1);
  CHECK_THAT(names_in(folder / "cache")[0], test::contains(".tmp-"));
  CHECK(CachedSource(source, small(folder / "cache")).build(1).images == 8);
  CHECK(names_in(folder / "cache").size() == 2);
  CHECK(all_whole(folder / "cache", source));
}

TEST_CASE("A full disk ends the cache and not the run", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 3, 6);
  const auto expected =
      epoch_of(std::make_shared<const CachedSource>(source, small(folder / "none")), 1);
  std::vector<std::string> notes;
  auto options = small(folder / "cache");
  options.on_note = [&](const std::string& note) { notes.push_back(note); };
  const auto cached = std::make_shared<const CachedSource>(source, options);
  {
    const test::FileSizeLimit limit(1500);
    CHECK(epoch_of(cached, 2) == expected);
    CHECK_THAT(cached->build(2).problem, test::contains("File too large"));
  }
  CHECK(epoch_of(cached, 2) == expected);
  CHECK(cached->progress().finished_shards == 0);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], test::contains("no more files are written"));
  CHECK(names_in(folder / "cache").empty());
}

TEST_CASE("A folder that cannot be written to is named", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 1, 4);
  folder.write("cache/locks", "a file in the way");
  std::ostringstream out;
  DataSettings settings;
  settings.cache_folder = folder / "cache";
  settings.cache_side = 24;
  const auto cached = with_image_cache(source, settings, out);
  CHECK_THAT(out.str(), test::contains("short side 24, JPEG of quality 90, 0 of 1 shards"));
  static_cast<void>(images_of(*cached));
  CHECK_THAT(out.str(), test::contains("no more files are written"));
  settings.cache_folder = folder / "cache/locks/deeper";
  CHECK_THROWS_WITH(with_image_cache(source, settings, out), test::contains("cannot create"));
  settings.cache_folder = "";
  CHECK(with_image_cache(source, settings, out) == source);
}

TEST_CASE("Options that make no sense are refused", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = some_shards(folder, 1, 1);
  CHECK_THROWS_WITH(CachedSource(source, {}), test::contains("no folder given"));
  CHECK_THROWS_WITH(CachedSource(nullptr, small(folder / "c")), test::contains("no source given"));
  CHECK_THROWS_WITH(CachedSource(source, {.folder = folder / "c", .recipe = {.side = 0}}),
                    test::contains("side (0)"));
  CHECK_THROWS_WITH(CachedSource(source, small(folder / "c", 101)),
                    test::contains("quality (101)"));
}

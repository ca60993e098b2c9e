// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/data_loader.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/detail/substitute_place.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "contrapunto/data/view_name.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "data/contains.hpp"
#include "data/image_encode.hpp"
#include "support/catch.hpp"
#include "support/some_rank.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// Plain images, those in `broken` unusable. The first caption of sample i is i % 7 times "x".
class TestSource : public SampleSource {
 public:
  explicit TestSource(std::int64_t size, std::set<std::int64_t> broken = {}, bool labeled = true)
      : size_(size), broken_(std::move(broken)), labeled_(labeled) {}
  [[nodiscard]] std::int64_t size() const override { return size_; }
  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    ++reads;
    if (index == mistake) throw std::logic_error("a mistake in the source");
    EncodedSample sample;
    sample.key = std::to_string(index);
    sample.source = "test";
    if (broken_.count(index)) {
      sample.image = {1, 2, 3};
    } else {
      sample.image = encode_ppm(test::picture(20, 16, static_cast<int>(index)));
    }
    sample.captions = {std::string(static_cast<std::size_t>(index % 7), 'x'), "two"};
    if (labeled_ && index % 3 != 2) sample.label = index % 10;
    return sample;
  }
  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override {
    return {size_ / 2, size_ - size_ / 2};
  }
  mutable std::atomic<int> reads{0};
  std::int64_t mistake = -1;

 private:
  std::int64_t size_;
  std::set<std::int64_t> broken_;
  bool labeled_;
};

/// JPEG images of about 200 x 200 pixels with details at all scales.
class PhotoSource : public SampleSource {
 public:
  explicit PhotoSource(std::int64_t size) : size_(size) {}
  [[nodiscard]] std::int64_t size() const override { return size_; }
  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    const std::int64_t width = 196 + index * 3, height = 201 - index % 5;
    RgbImage image(width, height);
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (std::int64_t c = 0; c < 3; ++c) {
          const auto place = static_cast<double>(x * (c + 1) + y * (4 - c) + 10 * index);
          image.row(y)[x * 3 + c] =
              static_cast<std::uint8_t>(128 + 60 * std::sin(place / 40) + 30 * std::sin(place / 9) +
                                        20 * std::sin(place / 3));
        }
    EncodedSample sample;
    sample.key = std::to_string(index);
    sample.source = "test";
    sample.image = test::encode_jpeg(image.data(), static_cast<int>(width),
                                     static_cast<int>(height), test::JpegFormat{.quality = 85});
    return sample;
  }
  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override { return {size_}; }

 private:
  std::int64_t size_;
};

std::vector<std::int64_t> letters(std::string_view text) {
  std::vector<std::int64_t> tokens = {1};
  tokens.insert(tokens.end(), text.begin(), text.end());
  tokens.push_back(2);
  return tokens;
}

std::vector<Batch> drain(DataLoader& loader) {
  std::vector<Batch> batches;
  while (auto batch = loader.next()) batches.push_back(std::move(*batch));
  return batches;
}

std::vector<Batch> epoch(DataLoader& loader, std::int64_t number, std::int64_t first_sample = 0) {
  loader.start_epoch(number, first_sample);
  return drain(loader);
}

/// The keys of all batches, in order.
std::vector<std::string> key_list(const std::vector<Batch>& batches) {
  std::vector<std::string> all;
  for (const Batch& batch : batches) all.insert(all.end(), batch.keys.begin(), batch.keys.end());
  return all;
}

std::set<std::int64_t> every(std::int64_t step, std::int64_t size) {
  std::set<std::int64_t> chosen;
  for (std::int64_t i = 0; i < size; i += step) chosen.insert(i);
  return chosen;
}

std::multiset<std::string> keys(const std::vector<Batch>& batches) {
  std::multiset<std::string> all;
  for (const Batch& batch : batches) all.insert(batch.keys.begin(), batch.keys.end());
  return all;
}

void require_equal(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].keys == b[i].keys);
    for (const char* name : {"image", "text", "label"}) REQUIRE(a[i].at(name).equal(b[i].at(name)));
  }
}

const ImageTransform kTrain(
    {.image_size = 8, .train = true, .crop_scale = {0.3, 1.0}, .horizontal_flip = true});

}  // namespace

TEST_CASE("An epoch has every sample once, in batches of one size", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(50);
  DataLoader loader(source, kTrain, letters, {.batch_size = 8, .threads = 3});
  REQUIRE(loader.batches_per_epoch() == 6);
  const auto batches = epoch(loader, 0);
  REQUIRE(batches.size() == 6);
  std::set<std::string> seen;
  for (const Batch& batch : batches) {
    CHECK(batch.at("image").sizes() == at::IntArrayRef({8, 3, 8, 8}));
    CHECK(batch.at("image").scalar_type() == at::kByte);
    CHECK(batch.at("label").scalar_type() == at::kLong);
    CHECK(batch.at("text").size(0) == 8);
    seen.insert(batch.keys.begin(), batch.keys.end());
  }
  CHECK(seen.size() == 48);
  CHECK_FALSE(loader.next());
  CHECK(loader.statistics().batches == 6);
  CHECK(loader.statistics().samples == 48);
}

TEST_CASE("Captions are drawn with their probabilities", "[data][cpu]") {
  struct Weighted : TestSource {
    using TestSource::TestSource;
    [[nodiscard]] EncodedSample read(std::int64_t index) const override {
      auto sample = TestSource::read(index);
      sample.captions = {"a", " ", "b", "c", "d"};
      sample.caption_weights = {3, 1000, 0, 4, 1};  // The blank caption does not count.
      return sample;
    }
  };
  constexpr int kSamples = 4000;
  DataLoader loader(std::make_shared<Weighted>(kSamples), kTrain, letters, {.batch_size = 100});
  std::map<std::int64_t, double> drawn;
  for (const Batch& batch : epoch(loader, 0))
    for (std::int64_t row = 0; row < 100; ++row)
      ++drawn[batch.at("text")[row][1].item<std::int64_t>()];
  const auto expect = [&](char letter, double probability) {
    const double deviation = std::sqrt(kSamples * probability * (1 - probability));
    CHECK(std::abs(drawn[letter] - kSamples * probability) < 5 * deviation);
  };
  expect('a', 3.0 / 8);
  expect('c', 4.0 / 8);
  expect('d', 1.0 / 8);
  CHECK(drawn.count('b') == 0);
}

TEST_CASE("The work of a loader is divided among its parts", "[data][cpu]") {
  struct SlowSource : TestSource {
    using TestSource::TestSource;
    [[nodiscard]] EncodedSample read(std::int64_t index) const override {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      return TestSource::read(index);
    }
  };
  const auto slow_letters = [](std::string_view text) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return letters(text);
  };
  DataLoader loader(std::make_shared<SlowSource>(30), kTrain, slow_letters, {.batch_size = 10});
  CHECK(epoch(loader, 0).size() == 3);
  const DataTimes times = loader.statistics().times;
  CHECK(times.read >= 0.060);
  CHECK(times.tokenize >= 0.030);
  CHECK(times.decode > 0);
  CHECK(times.transform > 0);
  CHECK(times.wait > 0);
}

TEST_CASE("Views of an image are drawn independently of each other", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(40, std::set<std::int64_t>{5});
  DataLoader single(source, kTrain, letters, {.batch_size = 8});
  DataLoader two(source, kTrain, letters, {.batch_size = 8, .threads = 1, .views = 2});
  DataLoader three(source, kTrain, letters, {.batch_size = 8, .threads = 3, .views = 3});
  const auto expected = epoch(single, 1), pairs = epoch(two, 1), triples = epoch(three, 1);
  require_equal(pairs, expected);  // the first view is that of a loader of single views
  require_equal(triples, expected);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    CHECK_FALSE(expected[i].tensors.contains("image2"));
    CHECK_FALSE(pairs[i].tensors.contains("image3"));
    const auto first = pairs[i].at("image"), second = pairs[i].at("image2");
    CHECK(second.sizes() == first.sizes());
    CHECK(second.equal(triples[i].at("image2")));
    for (std::int64_t row = 0; row < first.size(0); ++row)
      CHECK_FALSE(second[row].equal(first[row]));
    CHECK_FALSE(triples[i].at("image3").equal(second));
  }
  CHECK_FALSE(epoch(two, 2).front().at("image2").equal(pairs.front().at("image2")));
}

TEST_CASE("A further reading has the pixels of a loader of its size", "[data][cpu]") {
  ImageTransformOptions options{.image_size = 8,
                                .train = true,
                                .crop_scale = {0.3, 1.0},
                                .horizontal_flip = true,
                                .color_jitter = {0.4, 0.4, 0.4, 0.1},
                                .color_jitter_probability = 0.8,
                                .grayscale_probability = 0.2};
  const ImageTransform first(options);
  options.image_size = 13;
  options.interpolation = Interpolation::kBilinear;
  const ImageTransform second(options);
  const auto source = std::make_shared<TestSource>(50, std::set<std::int64_t>{5, 6, 30});
  const auto marked = [](std::string_view text) {
    auto tokens = letters(text);
    tokens.insert(tokens.begin(), 9);
    return tokens;
  };
  const auto two_views = GENERATE(false, true);
  LoaderOptions loading{.batch_size = 8, .threads = 1, .views = two_views ? 2 : 1};
  DataLoader plain(source, first, letters, loading);
  DataLoader other(source, second, marked, loading);
  const auto expected = epoch(plain, 1), theirs = epoch(other, 1);
  loading.image_readings = {
      {.name = "teacher_image", .image_size = 13, .interpolation = Interpolation::kBilinear},
      {.name = "small_image", .image_size = 3}};
  loading.text_readings = {{"teacher_text", marked}, {"padded_text", letters, 12}};
  for (const std::int64_t threads : {1, 3}) {
    loading.threads = threads;
    loading.cache_decoded = threads > 1;
    loading.channels_last = threads > 1;
    DataLoader both(source, first, letters, loading);
    const auto batches = epoch(both, 1);
    require_equal(batches, expected);  // The other tensors are the same without further readings.
    for (std::size_t i = 0; i < batches.size(); ++i) {
      for (const std::int64_t view : {0, 1}) {
        if (view == 1 && !two_views) continue;
        CHECK(batches[i].at(view_name(view)).equal(expected[i].at(view_name(view))));
        CHECK(batches[i].at(view_name(view, "teacher_image")).equal(theirs[i].at(view_name(view))));
        CHECK(batches[i].at(view_name(view, "small_image")).size(3) == 3);
      }
      CHECK(batches[i].at("teacher_text").equal(theirs[i].at("text")));
      const auto text = batches[i].at("text"), padded = batches[i].at("padded_text");
      CHECK(padded.size(1) == 12);
      CHECK(padded.narrow(1, 0, text.size(1)).equal(text));
    }
    require_equal(epoch(both, 1, 16), {expected.begin() + 2, expected.end()});
  }
  for (const std::int64_t rank : {0, 1}) {
    loading.ranks = Ranks(test::SomeRank(rank, 2));
    loading.batch_size = 4;
    DataLoader part(source, first, letters, loading);
    const auto batches = epoch(part, 1);
    REQUIRE(batches.size() == theirs.size());
    for (std::size_t i = 0; i < batches.size(); ++i)
      for (const auto& [mine, all] :
           {std::pair("teacher_image", "image"), {"teacher_text", "text"}}) {
        const auto rows = theirs[i].at(all).narrow(0, 4 * rank, 4);
        const auto own = batches[i].at(mine);
        CHECK(rows.narrow(1, 0, own.size(1)).equal(own));
      }
  }
}

TEST_CASE("Evaluation reads images as each model asks, and needs no further reading",
          "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(9);
  LoaderOptions loading{
      .batch_size = 4,
      .views = 2,
      .image_readings = {{"squashed", 6, Interpolation::kBilinear, ResizeMode::kSquash}},
      .text_readings = {{"again", letters}}};
  DataLoader plain(source, kTrain, letters, loading.for_evaluation());
  CHECK(epoch(plain, 0).front().tensors.size() == 3);  // image, text and label
  loading.views = 1;
  loading.train = false;
  const ImageTransformOptions square{.image_size = 6,
                                     .interpolation = Interpolation::kBilinear,
                                     .resize_mode = ResizeMode::kSquash};
  DataLoader both(source, ImageTransform({.image_size = 8}), letters, loading);
  DataLoader squashed(source, ImageTransform(square), letters, loading.for_evaluation());
  const auto batches = epoch(both, 0), expected = epoch(squashed, 0);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    CHECK(batches[i].at("squashed").equal(expected[i].at("image")));
    CHECK(batches[i].at("again").equal(batches[i].at("text")));
  }
}

TEST_CASE("Further readings that cannot work are refused", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(8);
  const auto load = [&](const LoaderOptions& options, const DataLoader::Tokenize& tokenize) {
    const DataLoader loader(source, kTrain, tokenize, options);
  };
  CHECK_THROWS_WITH(load({.batch_size = 2, .image_readings = {{"image"}}}, letters),
                    Contains("two tensors named 'image'"));
  CHECK_THROWS_WITH(load({.batch_size = 2, .views = 2, .image_readings = {{"a"}, {"a2"}}}, letters),
                    Contains("two tensors named 'a2'"));
  CHECK_THROWS_WITH(load({.batch_size = 2, .image_readings = {{}}}, letters), Contains("no name"));
  CHECK_THROWS_WITH(
      load({.batch_size = 2, .image_readings = {{.name = "a", .image_size = 0}}}, letters),
      Contains("image_size (0)"));
  CHECK_THROWS_WITH(load({.batch_size = 2, .text_readings = {{"a", letters}}}, nullptr),
                    Contains("'a' need a tokenize function"));
  CHECK_THROWS_WITH(load({.batch_size = 2, .text_readings = {{"a"}}}, letters),
                    Contains("'a' need a tokenize function"));
}

TEST_CASE("The rows of every image tensor stay together where a sample is missing", "[data][cpu]") {
  contrapunto::detail::BatchBuilder builder(0, 3, {.images = {{"image", 2}, {"large", 4}}});
  for (const std::int64_t row : {0, 2}) {
    for (const std::size_t which : {0, 1}) {
      const auto size = 2 * static_cast<std::int64_t>(which) + 2;
      RgbImage image(size, size);
      std::fill_n(image.data(), image.bytes(),
                  static_cast<std::uint8_t>(10 * static_cast<std::int64_t>(which) + row));
      builder.set_image(row, which, image);
    }
    builder.set_row(row, {}, std::nullopt, std::to_string(row));
  }
  const Batch batch = builder.finish();
  CHECK(batch.keys == std::vector<std::string>{"0", "2"});
  for (const std::int64_t which : {0, 1}) {
    const auto images = batch.at(which == 0 ? "image" : "large");
    REQUIRE(images.size(0) == 2);
    CHECK(images[0].eq(10 * which).all().item<bool>());
    CHECK(images[1].eq(10 * which + 2).all().item<bool>());
  }
}

TEST_CASE("Several views are refused where they would be equal", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(8);
  CHECK_THROWS_WITH(DataLoader(source, kTrain, letters, {.train = false, .views = 2}),
                    Contains("set views to 1"));
  CHECK_THROWS_WITH(DataLoader(source, ImageTransform({.image_size = 8}), letters, {.views = 2}),
                    Contains("ImageTransformOptions::train"));
  CHECK_THROWS_WITH(DataLoader(source, kTrain, letters, {.views = 0}), Contains("views (0)"));
}

TEST_CASE("Batches do not depend on the number of threads", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(70, std::set<std::int64_t>{3, 4, 5, 40});
  DataLoader one(source, kTrain, letters, {.batch_size = 8, .threads = 1, .max_queued_batches = 1});
  DataLoader four(source, kTrain, letters, {.batch_size = 8, .threads = 4});
  for (const std::int64_t number : {0, 1}) require_equal(epoch(one, number), epoch(four, number));
  require_equal(epoch(one, 1), epoch(four, 1));  // an epoch can be repeated
  CHECK(epoch(one, 0).front().keys != epoch(one, 1).front().keys);
}

TEST_CASE("An epoch that resumes at any sample equals an uninterrupted one", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(70, std::set<std::int64_t>{0, 1, 2, 3, 60});
  const LoaderOptions options{.batch_size = 8, .threads = 2};
  DataLoader whole(source, kTrain, letters, options);
  const auto expected = epoch(whole, 3);
  for (const std::int64_t first : {1, 5, 8}) {
    DataLoader resumed(source, kTrain, letters, options);
    auto tail = expected;
    tail.erase(tail.begin(), tail.begin() + first);
    require_equal(epoch(resumed, 3, 8 * first), tail);
  }
}

TEST_CASE("A saved loader continues at the next sample with another batch size, ranks and threads",
          "[data][cpu]") {
  const auto source =
      std::make_shared<TestSource>(120, std::set<std::int64_t>{0, 7, 8, 60, 61, 99});
  DataLoader whole(source, kTrain, letters, {.batch_size = 1, .threads = 2});
  const auto expected = key_list(epoch(whole, 2));
  REQUIRE(expected.size() == 120);
  DataLoader before(source, kTrain, letters, {.batch_size = 8, .threads = 3});
  before.start_epoch(2);
  std::vector<Batch> first;
  for (int i = 0; i < 5; ++i) first.push_back(std::move(*before.next()));
  const State state = before.save_state();
  CHECK(state.scalar<std::int64_t>("epoch") == 2);
  CHECK(state.scalar<std::int64_t>("samples") == 40);  // not what is prepared ahead

  for (const std::int64_t size : {1, 3, 7}) {
    INFO(size << " ranks");
    std::vector<std::vector<Batch>> ranks;
    for (std::int64_t rank = 0; rank < size; ++rank) {
      DataLoader after(source, kTrain, letters,
                       {.batch_size = 5, .threads = 2, .ranks = Ranks(test::SomeRank(rank, size))});
      after.load_state(state);
      CHECK(after.epoch() == 2);
      ranks.push_back(drain(after));
      REQUIRE(ranks.back().size() == static_cast<std::size_t>(80 / (5 * size)));
      CHECK(after.save_state().scalar<std::int64_t>("samples") ==
            40 + static_cast<std::int64_t>(ranks.back().size()) * 5 * size);
    }
    auto seen = key_list(first);
    for (std::size_t b = 0; b < ranks.front().size(); ++b)
      for (const auto& batches : ranks)
        seen.insert(seen.end(), batches[b].keys.begin(), batches[b].keys.end());
    CHECK(seen ==
          std::vector<std::string>(expected.begin(),
                                   expected.begin() + static_cast<std::ptrdiff_t>(seen.size())));
  }
}

TEST_CASE("A loader that changes its batches goes on at the next sample", "[data][cpu]") {
  const auto source =
      std::make_shared<TestSource>(120, std::set<std::int64_t>{0, 7, 8, 60, 61, 99});
  const ImageTransform large(kTrain.options().with_size(12));
  const auto one_letter = [](std::string_view) { return std::vector<std::int64_t>{1, 2}; };
  const LoaderOptions options{.batch_size = 8, .threads = 3};
  const auto ahead = [&](ReadAheadOptions read_ahead) {
    auto with = options;
    with.read_ahead = read_ahead;
    return with;
  };
  for (const auto& of_loader :
       {options, ahead({.piece_samples = 5, .pieces_together = 2, .lanes = 2})}) {
    DataLoader loader(source, kTrain, letters, of_loader);
    loader.start_epoch(2);
    for (int i = 0; i < 3; ++i) static_cast<void>(loader.next());
    auto other = of_loader;
    other.batch_size = 6;
    other.pad_text_to = 9;
    DataLoader expected(source, large, one_letter, other);
    expected.load_state(loader.save_state());
    loader.change(large, one_letter, 6, 9);
    CHECK(loader.options().batch_size == 6);
    CHECK(loader.batches_per_epoch() == 20);
    CHECK(loader.save_state().scalar<std::int64_t>("samples") == 24);
    const auto batches = drain(loader);
    CHECK(batches.size() == 16);
    CHECK(batches.front().at("image").size(3) == 12);
    CHECK(batches.front().at("text").size(1) == 9);
    require_equal(batches, drain(expected));
    require_equal(epoch(loader, 3), epoch(expected, 3));
  }
  DataLoader unused(source, kTrain, letters, options);
  unused.change(large, one_letter, 60);  // Before the first epoch.
  CHECK(epoch(unused, 0).size() == 2);
  CHECK_THROWS_WITH(unused.change(large, one_letter, 0), Contains("batch_size (0)"));
  CHECK_THROWS_WITH(unused.change(large, one_letter, 121),
                    Contains("120 samples") && Contains("121"));
}

TEST_CASE("A loader saved at the end of an epoch has no further batch of it", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(21);
  for (const bool train : {true, false}) {
    DataLoader loader(source, kTrain, letters, {.batch_size = 8, .train = train});
    CHECK(epoch(loader, 4).size() == (train ? 2 : 3));
    const State state = loader.save_state();
    CHECK(state.scalar<std::int64_t>("samples") == (train ? 16 : 21));
    DataLoader other(source, kTrain, letters, {.batch_size = 8, .train = train});
    other.load_state(state);
    CHECK_FALSE(other.next());
  }
}

TEST_CASE("Substitutes reach every sample and differ in the first attempts", "[data][cpu]") {
  for (const std::int64_t size : {1, 2, 10, 97, 1000}) {
    std::set<std::int64_t> places;
    for (std::int64_t attempt = 0; attempt < size; ++attempt)
      places.insert(contrapunto::detail::substitute_place(size / 3, attempt, size));
    CHECK(places.size() == static_cast<std::size_t>(size));
  }
  // Rows of a batch with a tenth of the epoch, with up to three failed attempts each, do not
  // collide.
  std::set<std::int64_t> places;
  for (std::int64_t place = 200; place < 300; ++place)
    for (std::int64_t attempt = 0; attempt <= 3; ++attempt)
      places.insert(contrapunto::detail::substitute_place(place, attempt, 1000));
  CHECK(places.size() == 400);
}

TEST_CASE("A new epoch may begin in the middle of another", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(200);
  DataLoader loader(source, kTrain, letters, {.batch_size = 8, .threads = 3});
  const auto expected = epoch(loader, 1);
  for (int i = 0; i < 20; ++i) {
    loader.start_epoch(0);
    if (i % 2) (void)loader.next();
  }
  require_equal(epoch(loader, 1), expected);
}

TEST_CASE("Texts are padded to the longest of the batch or as asked", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(7);
  const ImageTransform eval({.image_size = 8});
  DataLoader loader(source, eval, letters, {.batch_size = 4, .train = false});
  const auto batches = epoch(loader, 0);
  REQUIRE(batches.size() == 2);
  // The empty caption of sample 0 counts as none, so its second one is taken.
  CHECK(batches[0].at("text").equal(torch::tensor({{1L, 116L, 119L, 111L, 2L},
                                                   {1L, 120L, 2L, 0L, 0L},
                                                   {1L, 120L, 120L, 2L, 0L},
                                                   {1L, 120L, 120L, 120L, 2L}})));
  CHECK(batches[1].at("text").size(1) == 8);
  CHECK(batches[0].at("label").equal(torch::tensor({0L, 1L, -1L, 3L})));
  DataLoader padded(source, eval, letters, {.batch_size = 4, .train = false, .pad_text_to = 12});
  CHECK(epoch(padded, 0)[0].at("text").size(1) == 12);
  DataLoader narrow(source, eval, letters, {.batch_size = 4, .train = false, .pad_text_to = 4});
  CHECK_THROWS_WITH(epoch(narrow, 0), test::contains("does not fit 'text', which is padded to 4"));
}

TEST_CASE("Evaluation gives every usable sample once, in order", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(21, std::set<std::int64_t>{2, 9, 20});
  DataLoader loader(source, ImageTransform({.image_size = 8}), letters,
                    {.batch_size = 8, .threads = 3, .train = false});
  const auto batches = epoch(loader, 0);
  REQUIRE(batches.size() == 3);
  CHECK(batches[0].keys == std::vector<std::string>{"0", "1", "3", "4", "5", "6", "7"});
  CHECK(batches[0].at("image").size(0) == 7);
  CHECK(batches[2].keys == std::vector<std::string>{"16", "17", "18", "19"});
  // The rows that moved up still have their own pictures.
  RgbImage image;
  decode_image(source->read(7).image, image);
  CHECK(batches[0].at("image")[6].equal(ImageTransform({.image_size = 8})(image)));
  CHECK(loader.statistics().skipped == 3);
}

TEST_CASE("Unusable samples are replaced, counted and named", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(64, std::set<std::int64_t>{1, 17, 33});
  std::vector<SkippedSample> told;
  DataLoader loader(source, kTrain, letters,
                    {.batch_size = 8,
                     .threads = 2,
                     .max_unusable_fraction = 0.1,
                     .on_skip = [&](const SkippedSample& s) { told.push_back(s); }});
  const auto batches = epoch(loader, 0);
  REQUIRE(batches.size() == 8);
  for (const Batch& batch : batches) {
    CHECK(batch.size() == 8);
    CHECK(std::set<std::string>(batch.keys.begin(), batch.keys.end()).size() ==
          8);  // nothing twice
  }
  const auto all = keys(batches);
  CHECK((all.count("1") == 0 && all.count("17") == 0 && all.count("33") == 0));
  const LoaderStatistics statistics = loader.statistics();
  CHECK(statistics.skipped == 3);
  REQUIRE(statistics.first_skipped.size() == 3);
  CHECK_THAT(statistics.first_skipped[0], test::contains("not a JPEG, PNG, WebP or PPM image"));
  CHECK(told.size() == 3);
  (void)epoch(loader, 1);  // finds them again and reports nothing
  CHECK(loader.statistics().skipped == 3);
  CHECK(told.size() == 3);
}

TEST_CASE("Too many unusable samples stop the epoch, and a few do not", "[data][cpu]") {
  const auto run = [](std::set<std::int64_t> broken, bool train, double limit) -> std::string {
    const auto source = std::make_shared<TestSource>(1000, std::move(broken));
    DataLoader loader(source, kTrain, letters,
                      {.batch_size = 20, .train = train, .max_unusable_fraction = limit});
    try {
      const auto batches = epoch(loader, 0);
      return "";
    } catch (const c10::Error& error) {
      CHECK(loader.statistics().skipped < 310);  // not the whole epoch
      return error.what_without_backtrace();
    }
  };
  auto all_but_one = every(1, 1000);
  all_but_one.erase(500);
  for (const bool train : {true, false}) {
    CHECK(run(every(100, 1000), train, 0.1).empty());  // 1 %
    CHECK(run(every(20, 1000), train, 0.1).empty());   // 5 %
    const std::string half = run(every(2, 1000), train, 0.1);
    CHECK_THAT(half, test::contains("could not be used") && test::contains("first reasons") &&
                         test::contains("not a JPEG") &&
                         test::contains("max_unusable_fraction (0.1)"));
    CHECK(run(every(2, 1000), train, 1.0).empty());
    CHECK_FALSE(run(every(100, 1000), train, 0.0).empty());
  }
  CHECK_FALSE(run(all_but_one, true, 0.1).empty());
}

TEST_CASE("An evaluation that allows all samples to be unusable has empty batches", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(5, std::set<std::int64_t>{2, 3});
  const auto options = [](double limit) {
    return LoaderOptions{.batch_size = 2, .train = false, .max_unusable_fraction = limit};
  };
  DataLoader loader(source, ImageTransform({.image_size = 8}), letters, options(1.0));
  const auto batches = epoch(loader, 0);
  REQUIRE(batches.size() == 3);
  CHECK(batches[0].keys == std::vector<std::string>{"0", "1"});
  CHECK(batches[1].keys.empty());
  CHECK(batches[1].at("image").sizes() == at::IntArrayRef({0, 3, 8, 8}));
  CHECK(batches[2].keys == std::vector<std::string>{"4"});
  CHECK(loader.statistics().skipped == 2);
  DataLoader strict(source, ImageTransform({.image_size = 8}), letters, options(0.9));
  CHECK_THROWS_WITH(epoch(strict, 0), test::contains("none of the 2 samples of a batch"));
}

TEST_CASE("A small data set that is half unusable stops the run in the second epoch",
          "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(40, every(2, 40));
  DataLoader loader(source, kTrain, letters, {.batch_size = 8, .max_unusable_fraction = 0.1});
  const auto epochs = [&] {
    for (std::int64_t number = 0; number < 10; ++number) (void)epoch(loader, number);
  };
  CHECK_THROWS_WITH(epochs(), test::contains("31 of the last") && test::contains("different ones"));
}

TEST_CASE("A blank caption counts as no caption, and skipped samples name their source",
          "[data][cpu]") {
  class Blank : public TestSource {
   public:
    using TestSource::TestSource;
    [[nodiscard]] EncodedSample read(std::int64_t index) const override {
      EncodedSample sample = TestSource::read(index);
      sample.key += "\x1b[2J";
      if (index < 2) sample.captions = {" \n", ""};
      return sample;
    }
  };
  DataLoader loader(std::make_shared<Blank>(16), ImageTransform({.image_size = 8}), letters,
                    {.batch_size = 16, .train = false});
  CHECK(epoch(loader, 0)[0].size() == 14);
  const auto skipped = loader.statistics().first_skipped;
  REQUIRE(skipped.size() == 2);
  CHECK_THAT(skipped[0] + skipped[1], test::contains("test: 0\\x1b[2J: no caption"));
}

TEST_CASE("A loader that gets too few threads says so", "[data][cpu]") {
  // There is room for the stacks of a few threads only.
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
  const rlimit narrow{static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + (100 << 20)),
                      limit.rlim_max};
  std::string message;
  REQUIRE(setrlimit(RLIMIT_AS, &narrow) == 0);
  try {
    const DataLoader loader(std::make_shared<TestSource>(50), kTrain, letters,
                            {.batch_size = 8, .threads = 10'000});
  } catch (const c10::Error& error) {
    message = error.what_without_backtrace();
  }
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
  CHECK_THAT(message,
             test::contains("of 10000 threads") && test::contains("LoaderOptions::threads"));
}

TEST_CASE("A source with nothing usable raises and does not hang", "[data][cpu]") {
  std::set<std::int64_t> all;
  for (std::int64_t i = 0; i < 40; ++i) all.insert(i);
  const auto source = std::make_shared<TestSource>(40, all);
  for (const bool train : {true, false}) {
    DataLoader loader(source, kTrain, letters, {.batch_size = 8, .threads = 2, .train = train});
    loader.start_epoch(0);
    CHECK_THROWS_WITH(loader.next(), test::contains("could") && test::contains("be used"));
    CHECK_THROWS(loader.next());  // and reports it again
  }
}

TEST_CASE("Exceptions of the threads reach the caller", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(64);
  const auto mistaken = [](std::string_view) -> std::vector<std::int64_t> {
    throw std::out_of_range("vocabulary");
  };
  DataLoader loader(source, kTrain, mistaken, {.batch_size = 8, .threads = 3});
  loader.start_epoch(0);
  CHECK_THROWS_AS(loader.next(), std::out_of_range);
  source->mistake = 30;
  DataLoader other(source, ImageTransform({.image_size = 8}), letters,
                   {.batch_size = 8, .threads = 3, .train = false});
  other.start_epoch(0);
  for (int i = 0; i < 3; ++i) CHECK(other.next());  // batches before the fault are returned
  CHECK_THROWS_AS(other.next(), std::logic_error);
  source->mistake = -1;
  CHECK(epoch(other, 0).size() == 8);  // a new epoch starts again
}

TEST_CASE("A loader can be destroyed at any time", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(500);
  for (int i = 0; i < 30; ++i) {
    DataLoader loader(source, kTrain, letters, {.batch_size = 16, .threads = 4});
    if (i % 3) loader.start_epoch(i);
    if (i % 3 == 2) (void)loader.next();
  }
  SUCCEED();
}

TEST_CASE("No more batches are prepared than requested", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(400);
  DataLoader loader(source, kTrain, letters,
                    {.batch_size = 10, .threads = 3, .max_queued_batches = 2});
  loader.start_epoch(0);
  (void)loader.next();
  for (int i = 0; i < 1000 && source->reads < 30; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(source->reads == 30);  // one returned, two waiting
}

TEST_CASE("Ranks share an epoch without overlap and with as many batches", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(53);
  DataLoader whole(source, kTrain, letters, {.batch_size = 12, .threads = 2});
  const auto expected = epoch(whole, 2);
  std::vector<std::vector<Batch>> ranks;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    DataLoader loader(source, kTrain, letters,
                      {.batch_size = 4, .threads = 2, .ranks = Ranks(test::SomeRank(rank, 3))});
    ranks.push_back(epoch(loader, 2));
    REQUIRE(ranks.back().size() == expected.size());
  }
  for (std::size_t b = 0; b < expected.size(); ++b) {
    std::vector<at::Tensor> parts;
    for (const auto& batches : ranks) parts.push_back(batches[b].at("image"));
    CHECK(torch::cat(parts).equal(expected[b].at("image")));
  }
  std::multiset<std::string> seen;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    DataLoader loader(
        source, ImageTransform({.image_size = 8}), letters,
        {.batch_size = 4, .threads = 2, .train = false, .ranks = Ranks(test::SomeRank(rank, 3))});
    const auto batches = epoch(loader, 0);
    CHECK(batches.size() == 5);
    seen.merge(keys(batches));
  }
  CHECK(seen.size() == 53);
  CHECK(std::set<std::string>(seen.begin(), seen.end()).size() == 53);
}

TEST_CASE("Cached images are read once and give the same batches", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(48);
  const auto plain_source = std::make_shared<TestSource>(48);
  DataLoader plain(plain_source, kTrain, letters, {.batch_size = 8});
  DataLoader cached(source, kTrain, letters,
                    {.batch_size = 8, .threads = 3, .cache_decoded = true});
  for (const std::int64_t number : {0, 1, 2})
    require_equal(epoch(cached, number), epoch(plain, number));
  CHECK(source->reads == 48);
  CHECK(plain_source->reads == 3 * 48);
  const auto half = std::make_shared<TestSource>(48);
  DataLoader limited(half, kTrain, letters,
                     {.batch_size = 8, .cache_decoded = true, .cache_bytes = 24 * 20 * 16 * 3});
  for (const std::int64_t number : {0, 1})
    require_equal(epoch(limited, number), epoch(plain, number));
  CHECK(half->reads == 48 + 24);
}

TEST_CASE("A loader that decodes parts of images gives the batches of whole images",
          "[data][cpu]") {
  const auto source = std::make_shared<PhotoSource>(12);
  ImageTransformOptions options{.image_size = 40,
                                .train = true,
                                .crop_scale = {0.08, 1.0},
                                .horizontal_flip = true,
                                .color_jitter = {0.4, 0.4, 0.4, 0.1},
                                .color_jitter_probability = 0.8};
  LoaderOptions loading{.batch_size = 4, .threads = 2};
  SECTION("one view") {}
  SECTION("two views") {
    loading.views = 2;
  }
  SECTION("a further reading") {
    loading.image_readings = {
        {.name = "teacher_image", .image_size = 64, .interpolation = Interpolation::kBilinear}};
  }
  SECTION("the simple crop") {
    options.simple_crop_padding = 4;
  }
  SECTION("a shift") {
    options.shift_padding = 4;
  }
  SECTION("replayed views") {
    loading.replay = {.views = 3, .seed = 5};
  }
  SECTION("evaluation") {
    options.train = loading.train = false;
    options.resize_mode =
        GENERATE(ResizeMode::kShortest, ResizeMode::kLongest, ResizeMode::kSquash);
  }
  DataLoader parts(source, ImageTransform(options), nullptr, loading);
  loading.cache_decoded = true;  // The cache holds whole images.
  DataLoader whole(source, ImageTransform(options), nullptr, loading);
  const auto batches = epoch(parts, 1), expected = epoch(whole, 1);
  REQUIRE(batches.size() == 3);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    REQUIRE(batches[i].keys == expected[i].keys);
    for (const auto& [name, tensor] : expected[i].tensors) {
      CAPTURE(name);
      CHECK(batches[i].at(name).equal(tensor));
    }
  }
}

TEST_CASE("A scaled decode changes only images that shrink four times, and only a little",
          "[data][cpu]") {
  const auto source = std::make_shared<PhotoSource>(12);
  const auto batch_of = [&](std::int64_t size, LoaderOptions loading) {
    loading.batch_size = 12;
    const ImageTransform transform(
        {.image_size = size, .train = true, .crop_scale = {0.9, 1.0}, .horizontal_flip = true});
    DataLoader loader(source, transform, nullptr, loading);
    return epoch(loader, 1).at(0).at("image").to(at::kFloat);
  };
  const auto difference = [&](std::int64_t size, const LoaderOptions& loading) {
    return (batch_of(size, loading) - batch_of(size, {})).abs();
  };
  for (const std::int64_t size : {20, 40}) {  // decoded at 1/4 and at 1/2
    const auto change = difference(size, {.scaled_decode = true});
    CHECK(change.max().item<float>() > 0.0F);
    CHECK(change.mean().item<float>() < 1.0F);
    CHECK(change.gt(8).to(at::kFloat).mean().item<float>() < 0.01F);
    CHECK(batch_of(size, {.scaled_decode = true})
              .equal(batch_of(size, {.threads = 3, .scaled_decode = true})));
  }
  CHECK(difference(64, {.scaled_decode = true}).max().item<float>() == 0.0F);
  // A larger reading of the same image keeps it at its full size.
  const LoaderOptions with_reading{.image_readings = {{.name = "teacher_image", .image_size = 64}},
                                   .scaled_decode = true};
  CHECK(difference(20, with_reading).max().item<float>() == 0.0F);
  CHECK_FALSE(with_reading.for_evaluation().scaled_decode);
  CHECK_THROWS_WITH(batch_of(20, {.cache_decoded = true, .scaled_decode = true}),
                    Contains("scaled_decode and cache_decoded exclude each other"));
}

TEST_CASE("Images in channels-last format have the same pixels", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(16);
  DataLoader plain(source, kTrain, letters, {.batch_size = 8});
  DataLoader last(source, kTrain, letters, {.batch_size = 8, .channels_last = true});
  const auto a = epoch(plain, 0)[1].at("image");
  const auto b = epoch(last, 0)[1].at("image");
  CHECK(a.is_contiguous());
  CHECK(b.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(a.equal(b));
}

TEST_CASE("Without a tokenize function there is no text, and without labels no label",
          "[data][cpu]") {
  DataLoader loader(std::make_shared<TestSource>(16, std::set<std::int64_t>{}, false), kTrain,
                    nullptr, {.batch_size = 8});
  const auto batches = epoch(loader, 0);
  CHECK(batches[0].tensors.size() == 1);
  CHECK(batches[0].size() == 8);
}

TEST_CASE("Loader threads start no threads of their own", "[data][cpu]") {
  const auto threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  const auto before = threads();
  DataLoader loader(std::make_shared<SyntheticShapes>(SyntheticShapesOptions{.samples = 64}),
                    ImageTransform({.image_size = 32, .train = true}), letters,
                    {.batch_size = 16, .threads = 3});
  (void)epoch(loader, 0);
  CHECK(threads() == before + 3);
}

TEST_CASE("Loader options that cannot work raise with their values", "[data][cpu]") {
  const auto source = std::make_shared<TestSource>(10);
  CHECK_THROWS_WITH(DataLoader(nullptr, kTrain, letters), test::contains("no source"));
  CHECK_THROWS_WITH(DataLoader(source, kTrain, letters, {.batch_size = 11}),
                    test::contains("10 samples do not fill one batch of 11"));
  CHECK_THROWS_WITH(
      DataLoader(source, kTrain, letters, {.batch_size = 6, .ranks = Ranks(test::SomeRank(1, 2))}),
      test::contains("one batch of 6 on 2 ranks"));
  CHECK_THROWS_WITH(
      DataLoader(source, kTrain, letters, {.batch_size = 2, .max_unusable_fraction = 10}),
      test::contains("max_unusable_fraction (10)"));
  DataLoader loader(source, kTrain, letters, {.batch_size = 2});
  CHECK_THROWS_WITH(loader.next(), test::contains("start_epoch"));
  CHECK_THROWS_WITH(loader.start_epoch(0, 11), test::contains("first_sample (11)"));
}

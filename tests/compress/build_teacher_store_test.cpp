// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/build_teacher_store.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <thread>

#include "compress/small_store.hpp"
#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/open_data_source.hpp"
#include "contrapunto/data/teacher_store.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using test::ShardedShapes;

namespace {

at::Tensor encode(const Teacher& teacher, std::size_t encoder, const at::Tensor& input) {
  const torch::NoGradGuard no_grad;
  return teacher.model.encoders[encoder].forward(input.unsqueeze(0)).tensors.front()[0];
}

std::uint64_t image_checksum(const EncodedSample& sample) {
  return checksum_of({reinterpret_cast<const char*>(sample.image.data()), sample.image.size()});
}

/// Compares every embedding of the store with what the teacher says about one sample at a time.
/// Returns the number of embeddings.
int compare_all(const TeacherStore& store, const SampleSource& source, const Teacher& teacher,
                const ImageTransform& transform) {
  const TeacherStoreInfo& info = store.info();
  int compared = 0;
  std::int64_t index = 0;
  for (const auto& shard : source.shards())
    for (std::int64_t place = 0; place < shard.samples; ++place, ++index) {
      const auto sample = source.read(index);
      const auto image = decode_image(sample.image);
      for (std::int64_t view = 0; view < info.replay.views; ++view, ++compared) {
        const auto pixels = transform(image, info.replay.stream(shard, place, view));
        const auto row = test::row_of(store.image(index, view, image_checksum(sample)), info.dtype);
        REQUIRE(test::is_rounded(row, encode(teacher, 0, pixels), info.dtype));
      }
      for (std::size_t c = 0; info.texts && c < sample.captions.size(); ++c, ++compared) {
        const auto tokens = test::small_tokenizer().encode(sample.captions[c]);
        const auto row = test::row_of(
            store.text(index, static_cast<std::int64_t>(c), sample.captions[c]), info.dtype);
        REQUIRE(test::is_rounded(row, encode(teacher, 1, torch::tensor(tokens)), info.dtype));
      }
    }
  return compared;
}

std::string shard_file(const SampleSource& source, std::size_t shard) {
  return contrapunto::detail::teacher_shard_file(source.shards()[shard]);
}

void flip_byte(const std::filesystem::path& path, std::int64_t from_end) {
  auto bytes = read_file(path);
  bytes[bytes.size() - static_cast<std::size_t>(from_end)] ^= 4;
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("A store holds the teacher's embeddings of every view and caption", "[compress][cpu]") {
  const auto dtype = GENERATE(at::kHalf, at::kBFloat16);
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  const auto teacher = test::small_teacher();
  std::set<std::int64_t> finished;
  TeacherStoreProgress last;
  const auto report = test::build_small_store(
      folder.path(), source, teacher,
      {.replay = {3, 7}, .dtype = dtype, .threads = 3, .on_progress = [&](const auto& progress) {
         finished.insert(progress.finished_shards);
         last = progress;
       }});
  CHECK(finished == std::set<std::int64_t>{0, 1, 2, 3, 4});
  CHECK(last.shards == 4);
  CHECK(last.samples == 40);
  CHECK(last.embeddings == 40 * (3 + 4));
  CHECK_FALSE(last.waiting);
  CHECK(report.built_shards == 4);
  CHECK(report.samples == 40);
  CHECK(report.unusable.skipped == 0);
  const TeacherStore store(folder.path(), source->shards());
  CHECK(store.info().scale == Approx(1 / 0.07));
  CHECK_FALSE(store.info().bias);
  CHECK(compare_all(store, *source, teacher, test::random_views()) == 40 * (3 + 4));
  CHECK(store.info().json() == report.info.json());
}

TEST_CASE("A store fits real photos", "[compress][cpu]") {
  const char* const data = std::getenv("CONTRAPUNTO_DATA");
  if (!data || !*data) {
    WARN("CONTRAPUNTO_DATA is not set; skipped");
    return;
  }
  const test::TemporaryFolder folder;
  const test::TemporaryFolder indexes;
  const auto source = open_data_source(std::string(data) + "/photos/test-000.tar",
                                       {.shards = {.index = {.folder = indexes.path().string()}}});
  const auto teacher = test::small_teacher();
  const auto report = test::build_small_store(folder.path(), source, teacher, {.replay = {2, 1}});
  CHECK(report.samples == source->size());
  const TeacherStore store(folder.path(), source->shards());
  CHECK(compare_all(store, *source, teacher, test::random_views()) >= 3 * source->size());
}

TEST_CASE("A part of the data uses the store of all of it, and more data extends it",
          "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto teacher = test::small_teacher();
  const auto part = std::make_shared<ShardedShapes>(std::vector<std::int64_t>{3, 1});
  CHECK(test::build_small_store(folder.path(), part, teacher).built_shards == 2);
  const auto all = std::make_shared<ShardedShapes>();
  CHECK_THROWS_WITH(
      TeacherStore(folder.path(), all->shards()),
      Contains("lacks 2 of the 4 shards") && Contains("part-0.tar, part-2.tar; run store_teacher"));
  CHECK(test::build_small_store(folder.path(), all, teacher).built_shards == 2);
  for (const auto& source : {part, all}) {
    const TeacherStore store(folder.path(), source->shards());
    compare_all(store, *source, teacher, test::random_views());
  }
}

TEST_CASE("A build that is killed keeps its finished shards", "[compress][cpu]") {
  const test::TemporaryFolder folder, other;
  const auto teacher = test::small_teacher();
  const auto source = std::make_shared<ShardedShapes>();
  source->fails_at = 25;
  CHECK_THROWS_WITH(test::build_small_store(folder.path(), source, teacher),
                    Contains("the build is killed"));
  CHECK_THROWS_WITH(TeacherStore(folder.path(), source->shards()), Contains("lacks 2 of the 4"));
  // What a process that ended without its destructors leaves behind.
  std::ofstream((folder / (shard_file(*source, 2) + ".tmp-1-0")).string()) << "half a file";
  const auto written = std::filesystem::last_write_time(folder / shard_file(*source, 1));
  source->fails_at = -1;
  source->reads = 0;
  const auto report = test::build_small_store(folder.path(), source, teacher);
  CHECK(report.built_shards == 2);
  CHECK_FALSE(std::filesystem::exists(folder / (shard_file(*source, 2) + ".tmp-1-0")));
  CHECK(source->reads == 20);
  CHECK(std::filesystem::last_write_time(folder / shard_file(*source, 1)) == written);
  test::build_small_store(other.path(), source, teacher);
  for (std::size_t shard = 0; shard < 4; ++shard)
    CHECK(read_file(folder / shard_file(*source, shard)) ==
          read_file(other / shard_file(*source, shard)));
}

TEST_CASE("Builders that run at once fill each shard once", "[compress][cpu]") {
  const test::TemporaryFolder folder, other;
  const auto source = std::make_shared<ShardedShapes>(std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
  const auto teacher = test::small_teacher();
  std::vector<TeacherStoreReport> reports(3);
  std::vector<std::thread> builders;
  for (auto& report : reports)
    builders.emplace_back([&] {
      report =
          test::build_small_store(folder.path(), source, teacher, {.replay = {3, 7}, .threads = 1});
    });
  for (auto& builder : builders) builder.join();
  std::int64_t built = 0;
  for (const auto& report : reports) built += report.built_shards;
  CHECK(built == 6);
  CHECK(source->reads == 60);  // no sample was read twice
  test::build_small_store(other.path(), source, teacher);
  for (std::size_t shard = 0; shard < 6; ++shard)
    CHECK(read_file(folder / shard_file(*source, shard)) ==
          read_file(other / shard_file(*source, shard)));
}

TEST_CASE("A store is not continued with other weights, views or options", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  const auto teacher = test::small_teacher();
  test::build_small_store(folder.path(), source, teacher);
  const auto again = [&](const Teacher& with, const TeacherStoreOptions& options) {
    test::build_small_store(folder.path(), source, with, options);
  };
  CHECK_THROWS_WITH(again(test::small_teacher(2), {.replay = {3, 7}}),
                    Contains(folder.path().string()) && Contains("weights_checksum"));
  CHECK_THROWS_WITH(again(teacher, {.replay = {4, 7}}), Contains("views = 3, but here it is 4"));
  CHECK_THROWS_WITH(again(teacher, {.replay = {3, 8}}), Contains("seed = 7, but here it is 8"));
  CHECK_THROWS_WITH(again(teacher, {.replay = {3, 7}, .texts = false}), Contains("texts = true"));
  CHECK_THROWS_WITH(again(teacher, {.replay = {3, 7}, .dtype = at::kBFloat16}),
                    Contains("dtype = \"float16\", but here it is \"bfloat16\""));
  CHECK_THROWS_WITH(again(teacher, {.name = "another", .replay = {3, 7}}), Contains("teacher = "));
  auto options = test::random_views().options();
  options.crop_scale[0] = 0.5;
  CHECK_THROWS_WITH(build_teacher_store(folder.path(), source, teacher, ImageTransform(options),
                                        test::small_tokenizer().encode, {.replay = {3, 7}}),
                    Contains("transform"));
  const auto other_tokens = [](std::string_view text) {
    auto tokens = test::small_tokenizer().encode(text);
    std::swap(tokens[1], tokens[2]);
    return tokens;
  };
  CHECK_THROWS_WITH(build_teacher_store(folder.path(), source, teacher, test::random_views(),
                                        other_tokens, {.replay = {3, 7}}),
                    Contains("tokenizer_checksum"));
}

TEST_CASE("A damaged file of a store is refused with its name", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>(std::vector<std::int64_t>{0, 1});
  const auto teacher = test::small_teacher();
  test::build_small_store(folder.path(), source, teacher);
  const auto path = folder / shard_file(*source, 1);
  const auto good = read_file(path);
  const auto open = [&] { return TeacherStore(folder.path(), source->shards()); };
  const auto use_all = [&] {
    const auto store = open();
    compare_all(store, *source, teacher, test::random_views());
  };

  SECTION("truncated") {
    std::filesystem::resize_file(path, good.size() - 10);
    CHECK_THROWS_WITH(open(), Contains(path.string()) && Contains("truncated"));
    std::filesystem::resize_file(path, 5);
    CHECK_THROWS_WITH(open(), Contains(path.string()));
    CHECK_THROWS_WITH(test::build_small_store(folder.path(), source, teacher),
                      Contains(path.string()));
  }
  SECTION("a flipped byte of an embedding") {
    flip_byte(path, 20);
    CHECK_THROWS_WITH(use_all(), Contains(path.string()) && Contains("damaged") &&
                                     Contains("delete this file and run store_teacher again"));
    std::filesystem::remove(path);
    CHECK(test::build_small_store(folder.path(), source, teacher).built_shards == 1);
    CHECK(read_file(path) == good);
    CHECK_NOTHROW(use_all());
  }
  SECTION("a flipped byte of a table") {
    const std::int64_t embeddings = 2 * 20 * 10 * (3 + 4);  // bytes, which come last
    flip_byte(path, embeddings + 100);
    CHECK_THROWS_WITH(open(), Contains(path.string()) && Contains("tables"));
  }
  SECTION("a file of another store") {
    const test::TemporaryFolder other;
    test::build_small_store(other.path(), source, teacher, {.replay = {3, 8}});
    std::filesystem::copy_file(other / shard_file(*source, 1), path,
                               std::filesystem::copy_options::overwrite_existing);
    CHECK_THROWS_WITH(open(), Contains(path.string()) && Contains("belongs to another store"));
  }
  SECTION("store.json") {
    std::ofstream((folder / "store.json").string()) << "{\"version\": 1";
    CHECK_THROWS_WITH(open(), Contains("store.json") && Contains("damaged"));
    std::ofstream((folder / "store.json").string()) << "{\"version\": 2}";
    CHECK_THROWS_WITH(open(), Contains("has version 2"));
    std::filesystem::remove(folder / "store.json");
    CHECK_THROWS_WITH(open(), Contains("is not a store of teacher embeddings"));
  }
}

TEST_CASE("A store does not fit other data", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>(std::vector<std::int64_t>{0});
  test::build_small_store(folder.path(), source, test::small_teacher());
  const TeacherStore store(folder.path(), source->shards());
  const auto sample = source->read(4);
  CHECK_NOTHROW(store.image(4, 0, image_checksum(sample)));
  CHECK_THROWS_WITH(store.image(4, 0, image_checksum(source->read(5))),
                    Contains("the image of sample 4"));
  CHECK_NOTHROW(store.text(4, 1, sample.captions[1]));
  CHECK_THROWS_WITH(store.text(4, 0, sample.captions[1]), Contains("caption fields"));
  CHECK_THROWS_WITH(store.text(4, 4, sample.captions[1]), Contains("no embedding of caption 4"));
  source->version = 50;
  CHECK_THROWS_WITH(TeacherStore(folder.path(), source->shards()),
                    Contains("part-0.tar (the store has 'part-0.tar-00000000000003e8.safetensors', "
                             "of a shard with other samples)"));
}

TEST_CASE("Samples that cannot be used are marked, and too many of them are refused",
          "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  source->broken = {3, 21};
  source->without_caption = {22};
  const auto teacher = test::small_teacher();
  const auto report = test::build_small_store(folder.path(), source, teacher);
  CHECK(report.unusable.skipped == 3);
  CHECK_THAT(report.unusable.first.back(), Contains("no caption"));
  const TeacherStore store(folder.path(), source->shards());
  for (std::int64_t index = 0; index < 40; ++index) {
    if (index == 3 || index == 21 || index == 22)
      CHECK_THROWS_AS(store.require_usable(index), DataError);
    else
      CHECK_NOTHROW(store.require_usable(index));
  }
  const auto sample = source->read(4);  // a sample behind an unusable one has its own rows
  CHECK(test::is_rounded(
      test::row_of(store.text(4, 2, sample.captions[2]), at::kHalf),
      encode(teacher, 1, torch::tensor(test::small_tokenizer().encode(sample.captions[2]))),
      at::kHalf));

  const test::TemporaryFolder strict;
  CHECK_THROWS_WITH(test::build_small_store(strict.path(), source, teacher,
                                            {.replay = {3, 7}, .max_unusable_fraction = 0.005}),
                    Contains("build_teacher_store") && Contains("max_unusable_fraction"));
}

TEST_CASE("A store of texts does not decode images", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  source->broken = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto teacher = test::small_teacher();
  const auto report = test::build_small_store(folder.path(), source, teacher, {.replay = {}});
  CHECK(report.unusable.skipped == 0);
  source->broken.clear();
  const TeacherStore store(folder.path(), source->shards());
  CHECK(compare_all(store, *source, teacher, test::random_views()) == 40 * 4);
}

TEST_CASE("A build refuses options that cannot work", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  const auto teacher = test::small_teacher();
  const auto build = [&](const TeacherStoreOptions& options) {
    test::build_small_store(folder.path(), source, teacher, options);
  };
  CHECK_THROWS_WITH(build({.replay = {}, .texts = false}), Contains("neither images nor texts"));
  CHECK_THROWS_WITH(build({.dtype = at::kFloat}), Contains("dtype Float"));
  CHECK_THROWS_WITH(build({.batch_size = 0}), Contains("batch_size (0)"));
  CHECK_THROWS_WITH(build({.threads = 0}), Contains("threads (0)"));
  CHECK_THROWS_WITH(build_teacher_store(folder.path(), source, teacher,
                                        ImageTransform(ImageTransformOptions{.image_size = 32}),
                                        test::small_tokenizer().encode, {.replay = {2, 0}}),
                    Contains("would be equal"));
  CHECK_THROWS_WITH(build_teacher_store(folder.path(), nullptr, teacher, test::random_views(), {}),
                    Contains("no source"));
  auto broken = test::small_teacher();
  for (auto& parameter : broken.model.parameters)
    parameter.fill_(std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_WITH(test::build_small_store(folder.path(), source, broken), Contains("not finite"));
  CHECK(folder.names().empty());  // nothing was written
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/stored_teacher.hpp"

#include <cmath>
#include <map>
#include <set>

#include "compress/small_store.hpp"
#include "contrapunto/compress/build_teacher_store.hpp"
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"
#include "support/some_rank.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using test::ShardedShapes;

namespace {

LoaderOptions loading(std::vector<std::string> stores, ReplayedViews replay = {}) {
  LoaderOptions options{.batch_size = 8, .seed = 5, .replay = replay};
  options.teacher_stores = std::move(stores);
  return options;
}

std::unique_ptr<DataLoader> load(std::shared_ptr<const SampleSource> source,
                                 const LoaderOptions& options, std::int64_t image_size = 32) {
  return std::make_unique<DataLoader>(std::move(source), test::random_views(image_size),
                                      test::small_tokenizer().encode, options);
}

std::vector<Batch> epoch(DataLoader& loader, std::int64_t number) {
  std::vector<Batch> batches;
  for (loader.start_epoch(number); auto batch = loader.next();) batches.push_back(*batch);
  return batches;
}

at::Tensor encode(const Teacher& teacher, std::size_t encoder, const at::Tensor& input) {
  const torch::NoGradGuard no_grad;
  return teacher.model.encoders[encoder].forward(input).tensors.front();
}

struct Student {
  ModelConfig config = test::small_clip(32);
  DualEncoder model = make_dual_encoder(config);
  [[nodiscard]] StepModel<> step() const { return test::step_of(model, config); }
};

Student new_student() {
  torch::manual_seed(11);
  return {};
}

std::vector<at::Tensor> gradients(const Student& student) {
  std::vector<at::Tensor> all;
  for (const auto& parameter : student.model->parameters())
    all.push_back(parameter.grad().defined() ? parameter.grad().clone()
                                             : torch::zeros_like(parameter));
  return all;
}

void require_close(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b,
                   double factor) {
  REQUIRE(a.size() == b.size());
  double largest = 0.0, difference = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, b[i].abs().max().item<double>());
    difference = std::max(difference, (a[i] - b[i]).abs().max().item<double>());
  }
  REQUIRE(largest > 0.0);
  CHECK(difference <= factor * test::tolerance(torch::kFloat) * largest);
}

}  // namespace

TEST_CASE("The loader gives the stored embeddings of the view and the caption that it draws",
          "[compress][cpu]") {
  const auto dtype = GENERATE(at::kHalf, at::kBFloat16);
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  const auto teacher = test::small_teacher();
  test::build_small_store(folder.path(), source, teacher, {.replay = {3, 7}, .dtype = dtype});
  const auto loader = load(source, loading({folder.path().string()}));
  std::map<std::string, std::set<std::string>> views;
  for (std::int64_t number = 0; number < 3; ++number)
    for (const Batch& batch : epoch(*loader, number)) {
      const auto& images = batch.at("teacher_image_features");
      const auto& texts = batch.at("teacher_text_features");
      REQUIRE(images.scalar_type() == dtype);
      REQUIRE(images.sizes() == at::IntArrayRef({8, 20}));
      REQUIRE(
          test::is_rounded(images.to(torch::kFloat), encode(teacher, 0, batch.at("image")), dtype));
      REQUIRE(
          test::is_rounded(texts.to(torch::kFloat), encode(teacher, 1, batch.at("text")), dtype));
      for (std::int64_t i = 0; i < 8; ++i) {
        const auto pixels = batch.at("image")[i].contiguous();
        views[batch.keys[static_cast<std::size_t>(i)]].insert(
            std::string(static_cast<const char*>(pixels.const_data_ptr()), pixels.nbytes()));
      }
    }
  CHECK(views.size() == 40);
  for (const auto& [key, seen] : views) CHECK(seen.size() == 3);  // each epoch another view
}

TEST_CASE("A teacher of another image size saw the crops of the student", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  const auto teacher = test::small_teacher(1, 48);
  test::build_small_store(folder.path(), source, teacher, {.replay = {2, 7}}, 48);
  const auto student = load(source, loading({folder.path().string()}), 32);
  const auto large = load(source, loading({}, {2, 7}), 48);
  const auto small_batches = epoch(*student, 1), large_batches = epoch(*large, 1);
  for (std::size_t i = 0; i < small_batches.size(); ++i) {
    REQUIRE(small_batches[i].keys == large_batches[i].keys);
    REQUIRE(small_batches[i].at("image").size(2) == 32);
    CHECK(test::is_rounded(small_batches[i].at("teacher_image_features").to(torch::kFloat),
                           encode(teacher, 0, large_batches[i].at("image")), at::kHalf));
  }
}

TEST_CASE("Training with a store follows training with the teacher", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  const auto teacher = test::small_teacher();
  test::build_small_store(folder.path(), source, teacher);
  const LossSum loss(WeightedLoss{"contrastive", 0.5, InfoNce()},
                     WeightedLoss{"affinity", 0.5, AffinityLoss()});
  const auto train = [&](DataLoader& loader, const auto& with_teacher) {
    const auto student = new_student();
    GradCache step(with_teacher(student.step()), loss, {.chunk_size = 3});
    AdamW optimizer(decay_groups(*student.model, 0.1));
    std::vector<double> losses;
    for (std::int64_t number = 0; losses.size() < 50; ++number)
      for (const Batch& batch : epoch(loader, number)) {
        optimizer.zero_grad();
        const LossTerms terms = step(batch);
        losses.push_back(terms.total.item<double>());
        optimizer.step(1e-3);
      }
    return losses;
  };
  const auto online = [&](StepModel<> student) {
    return with_teachers(std::move(student), {teacher});
  };
  const auto replaying = load(source, loading({}, {3, 7}));
  const auto others = load(source, loading({}, {3, 8}));
  const auto storing = load(source, loading({folder.path().string()}));
  const auto expected = train(*replaying, online);
  const auto stored = train(*storing, [&](StepModel<> student) {
    return with_stored_teachers(std::move(student), storing->teacher_stores(), torch::kCPU);
  });
  const auto other_views = train(*others, online);
  CHECK(expected.back() < expected.front() - 0.3);
  // Rounding moves a unit row by at most 2^-11, so a logit by at most 2 * 2^-11 * scale, and the
  // targets of a row by that much in relative terms. The loss is at most this fraction further off,
  // and training repeats it. Other views are much further off.
  const double bound = 2 * 0x1p-11 / 0.07;
  double most = 0.0, most_of_others = 0.0;
  for (std::size_t i = 0; i < 50; ++i) {
    most = std::max(most, std::abs(stored[i] - expected[i]) / expected[i]);
    most_of_others = std::max(most_of_others, std::abs(other_views[i] - expected[i]) / expected[i]);
  }
  CHECK(most > 0.0);
  CHECK(most <= bound);
  CHECK(most_of_others > bound);
}

TEST_CASE("Chunks and accumulation give the gradient of the whole batch with stored teachers",
          "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  test::build_small_store(folder.path(), source, test::small_teacher());
  const auto loader = load(source, loading({folder.path().string()}));
  const auto batches = epoch(*loader, 0);
  const auto& batch = batches.front();
  const auto model = [&](const Student& student) {
    return with_stored_teachers(student.step(), loader->teacher_stores(), torch::kCPU);
  };
  const auto whole = new_student(), chunked = new_student(), accumulated = new_student();
  FullBatch full(model(whole), AffinityLoss());
  const double expected = full(batch).total.item<double>();
  GradCache cached(model(chunked), AffinityLoss(), {.chunk_size = 3});
  CHECK(cached(batch).total.item<double>() == Approx(expected).epsilon(1e-6));
  require_close(gradients(chunked), gradients(whole), 20);
  Accumulator accumulator(model(accumulated), AffinityLoss(), {.micro_batch = 4});
  CHECK(accumulator(batch).total.item<double>() == Approx(expected).epsilon(1e-6));
  require_close(gradients(accumulated), gradients(whole), 20);
}

TEST_CASE("Stored texts work beside an online teacher of images", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  const auto teacher = test::small_teacher();
  test::build_small_store(folder.path(), source, teacher, {.replay = {}});
  const auto loader = load(source, loading({folder.path().string()}));
  const auto& store = *loader->teacher_stores().front();
  const auto batches = epoch(*loader, 0);
  CHECK(batches.front().tensors.count("teacher_image_features") == 0);
  const auto of_epoch_1 = epoch(*loader, 1);  // images are not replayed
  CHECK_FALSE(batches.front().at("image").equal(of_epoch_1.front().at("image")));
  const auto online = new_student(), mixed = new_student();
  FullBatch with_teacher(with_teachers(online.step(), {teacher}), AffinityLoss());
  FullBatch with_store(
      with_teachers(mixed.step(), {stored_teacher(store, 0, torch::kCPU, teacher)}),
      AffinityLoss());
  for (const Batch& batch : batches) {
    const double expected = with_teacher(batch).total.item<double>();
    CHECK(with_store(batch).total.item<double>() == Approx(expected).epsilon(0x1p-11 / 0.07));
  }
  CHECK_THROWS_WITH(stored_teacher(store, 0, torch::kCPU), Contains("has no images"));
  CHECK_THROWS_WITH(stored_teacher(store, 0, torch::kCPU, test::small_teacher(2)),
                    Contains(folder.path().string()) && Contains("weights of checksum"));
}

TEST_CASE("Several teachers have a store each, with the same views", "[compress][cpu]") {
  const test::TemporaryFolder first, second, third;
  const auto source = std::make_shared<ShardedShapes>();
  const auto large = test::small_teacher(2, 48);
  test::build_small_store(first.path(), source, test::small_teacher());
  test::build_small_store(second.path(), source, large, {.replay = {3, 7}, .dtype = at::kBFloat16},
                          48);
  const auto loader = load(source, loading({first.path().string(), second.path().string()}));
  const auto batches = epoch(*loader, 0);
  CHECK(batches.front().at("teacher_image_features").scalar_type() == at::kHalf);
  CHECK(batches.front().at("teacher_image_features2").scalar_type() == at::kBFloat16);
  CHECK(test::is_rounded(batches.front().at("teacher_text_features2").to(torch::kFloat),
                         encode(large, 1, batches.front().at("text")), at::kBFloat16));
  const auto student = new_student();
  FullBatch step(with_stored_teachers(student.step(), loader->teacher_stores(), torch::kCPU),
                 AffinityLoss({.teacher_weights = {1.0, 3.0}}));
  CHECK(std::isfinite(step(batches.front()).total.item<double>()));

  test::build_small_store(third.path(), source, large, {.replay = {3, 8}}, 48);
  CHECK_THROWS_WITH(load(source, loading({first.path().string(), third.path().string()})),
                    Contains("3 views of seed 8, but 3 views of seed 7"));
}

TEST_CASE("A store keeps the bias of its teacher", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>(std::vector<std::int64_t>{0});
  torch::manual_seed(3);
  auto config = test::small_clip(32);
  config.initial_logit_bias = -7.25;
  auto model = make_dual_encoder(config);
  freeze_teacher(*model);
  test::build_small_store(folder.path(), source, {.model = test::step_of(model, config)});
  const auto loader = load(source, loading({folder.path().string()}));
  const auto teacher = stored_teacher(*loader->teacher_stores().front(), 0, torch::kCPU);
  const auto rows = torch::ones({2, 20});
  const auto e = teacher.model.head({Features(rows), Features(rows)}, {});
  CHECK(e.scale.item<double>() == Approx(model->scale().item<double>()));
  REQUIRE(e.bias);
  CHECK(e.bias->item<double>() == -7.25);
}

TEST_CASE("Stored views depend neither on threads, nor on ranks, nor on an interruption",
          "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  test::build_small_store(folder.path(), source, test::small_teacher());
  auto options = loading({folder.path().string()});
  const auto plain = load(source, options);
  const auto expected = epoch(*plain, 2);
  const auto same = [&](const Batch& a, const Batch& b) {
    for (const auto* name : {"image", "text", "teacher_image_features", "teacher_text_features"})
      if (!a.at(name).equal(b.at(name))) return false;
    return a.keys == b.keys;
  };
  options.threads = 5;
  options.cache_decoded = true;
  const auto threaded = load(source, options);
  static_cast<void>(epoch(*threaded, 1));  // fills the cache of decoded images
  const auto of_threads = epoch(*threaded, 2);
  REQUIRE(of_threads.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(same(of_threads[i], expected[i]));

  options.batch_size = 4;
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    options.ranks = Ranks(test::SomeRank(rank, 2));
    const auto part = load(source, options);
    const auto of_rank = epoch(*part, 2);
    REQUIRE(of_rank.size() == 5);
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(of_rank[i]
                .at("teacher_image_features")
                .equal(expected[i].at("teacher_image_features").narrow(0, 4 * rank, 4)));
  }

  plain->start_epoch(2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(same(*plain->next(), expected[i]));
  const auto resumed = load(source, loading({folder.path().string()}));
  resumed->load_state(plain->save_state());
  for (std::size_t i = 2; i < 5; ++i) CHECK(same(*resumed->next(), expected[i]));

  const test::TemporaryFolder other;
  test::build_small_store(other.path(), source, test::small_teacher(2));
  const auto wrong = load(source, loading({other.path().string()}));
  CHECK_THROWS_WITH(wrong->load_state(plain->save_state()),
                    Contains("other stored views or other teacher stores"));
}

TEST_CASE("Samples without embeddings are replaced, and the rest keeps its own",
          "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  source->broken = {3, 21};
  const auto teacher = test::small_teacher();
  test::build_small_store(folder.path(), source, teacher);
  source->broken = {5};  // 3 and 21 could be used again, but have no embedding
  auto options = loading({folder.path().string()});
  std::vector<std::string> reasons;
  options.on_skip = [&](const SkippedSample& sample) { reasons.push_back(sample.reason); };
  const auto loader = load(source, options);
  const auto batches = epoch(*loader, 0);
  REQUIRE(batches.size() == 5);
  for (const Batch& batch : batches) {
    for (const auto& key : batch.keys)
      CHECK((key != "shape-3" && key != "shape-21" && key != "shape-5"));
    CHECK(test::is_rounded(batch.at("teacher_image_features").to(torch::kFloat),
                           encode(teacher, 0, batch.at("image")), at::kHalf));
  }
  CHECK(loader->statistics().skipped == 3);
  REQUIRE(reasons.size() == 3);
}

TEST_CASE("A loader refuses stores that do not fit", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto source = std::make_shared<ShardedShapes>();
  test::build_small_store(folder.path(), source, test::small_teacher());
  const auto options = loading({folder.path().string()});
  const auto with = [&](ImageTransformOptions transform) {
    DataLoader(source, ImageTransform(transform), test::small_tokenizer().encode, options);
  };
  auto transform = test::random_views().options();
  CHECK_NOTHROW(with(transform));
  transform.crop_scale[0] = 0.9;
  CHECK_THROWS_WITH(with(transform),
                    Contains(folder.path().string()) &&
                        Contains("crop_scale = [0.4,1.0], but here it is [0.9,1.0]"));
  transform = test::random_views().options();
  transform.horizontal_flip = false;
  CHECK_THROWS_WITH(with(transform), Contains("horizontal_flip = true, but here it is false"));
  transform = test::random_views().options();
  transform.blur_probability = 0.5;
  CHECK_THROWS_WITH(with(transform), Contains("blur_probability = not set, but here it is 0.5"));
  transform = test::random_views().options();
  CHECK_THROWS_WITH(with(transform.for_evaluation()), Contains("train = true"));
  CHECK_THROWS_WITH(load(source, loading({folder.path().string()}, {3, 6})),
                    Contains("3 views of seed 7, but 3 views of seed 6"));
  CHECK_THROWS_WITH(load(source, loading({(folder / "none").string()})),
                    Contains("is not a store of teacher embeddings"));
  auto evaluation = options;
  evaluation.train = false;
  CHECK_THROWS_WITH(load(source, evaluation), Contains("are for training"));
  auto views = options;
  views.views = 2;
  CHECK_THROWS_WITH(load(source, views), Contains("cannot be combined with replayed views"));

  // The first batch with a changed image or caption ends the run.
  const auto changed = std::make_shared<ShardedShapes>();
  for (std::int64_t i = 0; i < 40; ++i) changed->changed_image.insert(i);
  const auto images = load(changed, options);
  CHECK_THROWS_WITH(epoch(*images, 0), Contains("is not the one whose embedding is stored"));
  changed->changed_image.clear();
  for (std::int64_t i = 0; i < 40; ++i) changed->changed_caption.insert(i);
  const auto captions = load(changed, options);
  CHECK_THROWS_WITH(epoch(*captions, 0),
                    Contains("no embedding of caption 0") && Contains("caption fields"));
}

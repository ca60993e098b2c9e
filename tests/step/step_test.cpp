// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/autograd/rng_state.hpp"
#include "contrapunto/distributed/gradient_sync.hpp"
#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/nt_xent.hpp"
#include "contrapunto/loss/sigmoid_loss.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "contrapunto/precision/apply_precision.hpp"
#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "contrapunto/towers/lock_towers.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using test::all_graphs_kept;
using test::gradient_error;
using test::Gradients;
using test::gradients_of;
using test::small_batch;
using test::small_model;

namespace {

const TileOptions kTiles{.rows = 16, .columns = 16};

StepModel<> step_of(const DualEncoder& model, PairStepOptions options = {}) {
  options.trim_y = true;
  return pair_step_model(model, torch::kCPU, std::move(options));
}

/// A mean over samples: the distance of each pair.
struct PairDistance {
  static constexpr bool kSeparable = true;
  LossTerms operator()(const Embeddings& e) const {
    const auto distance = (e.x - e.y).pow(2).sum(1).mean() * e.scale;
    return {distance, {{"distance", distance}}};
  }
};
static_assert(SeparableLoss<PairDistance> && !SeparableLoss<InfoNce>);
static_assert(StepStrategy<FullBatch<InfoNce>>);
static_assert(StepStrategy<GradCache<InfoNce>>);
static_assert(StepStrategy<Accumulator<InfoNce>>);

}  // namespace

TEST_CASE("Any chunk size gives the gradients of the whole batch", "[step][cpu]") {
  const auto check_loss_of = [](const auto& loss, bool bias) {
    // A single pair has no negatives, so all its gradients are zero except for the sigmoid loss.
    for (const auto samples : {bias ? 1 : 3, 2, 61})
      for (const double scale : {1.0, 14.3, 100.0}) {
        auto model = small_model(0.0, scale, bias);
        model->to(torch::kDouble);
        const auto batch = small_batch(samples, torch::kDouble);
        FullBatch direct(step_of(model), loss);
        double expected_loss = 0.0, result_loss = 0.0;
        const auto expected = gradients_of(direct, batch, *model, &expected_loss);
        for (const auto chunk : {1, 7, 100})
          for (const double keep : {0.0, 3e5}) {
            GradCache cached(step_of(model), loss, {.chunk_size = chunk, .keep_bytes = keep});
            for (int repeat = 0; repeat < 2; ++repeat) {  // kept chunks begin with the second step
              const auto result = gradients_of(cached, batch, *model, &result_loss);
              INFO(samples << " samples, scale " << scale << ", chunks of " << chunk);
              CHECK(gradient_error(result, expected, scale * 1e-3) < 1e-10);
              CHECK(result_loss == Approx(expected_loss).epsilon(1e-12).margin(1e-12));
            }
          }
        Accumulator accumulated(step_of(model), loss, {.micro_batch = 9});
        CHECK(gradient_error(gradients_of(accumulated, batch, *model), expected, scale * 1e-3) <
              1e-10);
      }
  };
  check_loss_of(InfoNce{}, false);
  check_loss_of(TiledInfoNce({.tiles = kTiles}), false);
  check_loss_of(SigmoidLoss{}, true);
  check_loss_of(TiledSigmoidLoss({.tiles = kTiles}), true);
  check_loss_of(NtXent(kTiles), false);
}

TEST_CASE("In float32 the gradients of chunks are those of the batch to rounding", "[step][cpu]") {
  auto model = small_model();
  const auto batch = small_batch(127);
  FullBatch direct(step_of(model), TiledInfoNce());
  const auto expected = gradients_of(direct, batch, *model);
  for (const auto chunk : {16, 50}) {
    GradCache cached(step_of(model), TiledInfoNce(), {.chunk_size = chunk});
    CHECK(gradient_error(gradients_of(cached, batch, *model), expected, 0.1) <
          5 * test::tolerance(torch::kFloat));
  }
}

TEST_CASE("Dropout and patch dropout are replayed bit for bit", "[step][cpu]") {
  auto model = small_model(/*dropout=*/0.4);
  model->to(torch::kDouble);
  const auto batch = small_batch(23, torch::kDouble);
  for (const auto chunk : {1, 5, 23}) {
    const auto expected = all_graphs_kept(step_of(model), InfoNce{}, batch, chunk, *model);
    for (const double keep : {0.0, 1e12}) {
      GradCache cached(step_of(model), InfoNce{}, {.chunk_size = chunk, .keep_bytes = keep});
      gradients_of(cached, batch, *model);
      CHECK(gradient_error(gradients_of(cached, batch, *model), expected) < 1e-11);
    }
  }
  // Other random numbers give other gradients, so the check above can fail.
  GradCache cached(step_of(model), InfoNce{}, {.chunk_size = 5});
  const auto one = gradients_of(cached, batch, *model);
  torch::manual_seed(78);
  cached(batch);
  CHECK(gradient_error(test::take_gradients(*model), one) > 1e-3);
}

TEST_CASE("A step leaves the generator where the first pass left it", "[step][cpu]") {
  auto model = small_model(0.4);
  const auto batch = small_batch(10);
  const auto next_number = [&](double keep) {
    GradCache cached(step_of(model), InfoNce{}, {.chunk_size = 3, .keep_bytes = keep});
    gradients_of(cached, batch, *model);
    gradients_of(cached, batch, *model);
    return torch::rand({1}).item<double>();
  };
  CHECK(next_number(0.0) == next_number(1e12));
}

TEST_CASE("Batch norm's running statistics are updated once per chunk", "[step][cpu]") {
  torch::manual_seed(1);
  DualEncoder model(test::small_resnet(), test::DroppingText(0.0));
  model->to(torch::kDouble);
  const auto batch = small_batch(12, torch::kDouble, 32);
  const auto start = [&] {
    std::vector<at::Tensor> copies;
    for (const auto& buffer : model->buffers()) copies.push_back(buffer.clone());
    return copies;
  }();
  const auto expected = all_graphs_kept(step_of(model), InfoNce{}, batch, 4, *model);
  std::vector<at::Tensor> after;
  for (std::size_t i = 0; i < start.size(); ++i) {
    after.push_back(model->buffers()[i].clone());
    model->buffers()[i].copy_(start[i]);
  }
  GradCache cached(step_of(model), InfoNce{}, {.chunk_size = 4});
  CHECK(gradient_error(gradients_of(cached, batch, *model), expected) < 1e-9);
  for (std::size_t i = 0; i < after.size(); ++i)
    CHECK(test::relative_error(model->buffers()[i], after[i]) < 1e-12);
}

TEST_CASE("Towers may share weights, and one tower may make both features", "[step][cpu]") {
  torch::manual_seed(5);
  auto tower = test::small_vit(0.0);
  tower->to(torch::kDouble);
  const auto scale = torch::tensor(7.0, torch::kDouble).requires_grad_(true);
  StepModel<> step;
  const auto encode = [tower](const at::Tensor& x) mutable -> Features {
    const auto y = tower(x);
    return y / y.norm(2, {1}, true);
  };
  step.encoders = {{"image", encode}, {"other", encode}};
  step.head = [scale](const std::vector<Features>& f, const Batch&) {
    return Embeddings{f[0].tensors[0], f[1].tensors[0], scale * 1.0};
  };
  step.parameters = tower->parameters();
  auto batch = small_batch(19, torch::kDouble);
  batch.tensors["other"] = torch::randn({19, 3, 16, 16}, torch::kDouble);
  FullBatch direct(step, InfoNce{});
  const auto expected = gradients_of(direct, batch, *tower);
  const auto expected_scale = scale.grad().clone();
  scale.mutable_grad().reset();
  GradCache cached(step, InfoNce{}, {.chunk_size = 4});
  CHECK(gradient_error(gradients_of(cached, batch, *tower), expected) < 1e-11);
  CHECK(test::relative_error(scale.grad(), expected_scale) < 1e-11);
}

TEST_CASE("An encoder may return several outputs", "[step][cpu]") {
  auto model = small_model();
  model->to(torch::kDouble);
  const auto batch = small_batch(11, torch::kDouble);
  auto step = step_of(model);
  // Rows and, as hard negatives for the same loss, their mirror images.
  step.encoders[1].forward = [model](const at::Tensor& tokens) mutable -> Features {
    const auto y = model->encode_text(tokens);
    return std::vector<at::Tensor>{y, y.flip({1})};
  };
  step.head = [model](const std::vector<Features>& f, const Batch&) mutable {
    Embeddings e{f[0].tensors[0], f[1].tensors[0], model->scale()};
    e.negatives = f[1].tensors[1];
    return e;
  };
  FullBatch direct(step, TiledInfoNce());
  const auto expected = gradients_of(direct, batch, *model);
  GradCache cached(step, TiledInfoNce(), {.chunk_size = 3});
  CHECK(gradient_error(gradients_of(cached, batch, *model), expected) < 1e-10);
}

TEST_CASE("Hard negatives and keys of the batch reach the loss", "[step][cpu]") {
  auto model = small_model();
  model->to(torch::kDouble);
  auto batch = small_batch(9, torch::kDouble);
  batch.tensors["negatives"] = small_batch(18).at("text").view({9, 2, 12});
  const PairStepOptions options{.negatives_input = "negatives"};
  FullBatch direct(step_of(model, options), TiledInfoNce());
  double with = 0.0, without = 0.0, result = 0.0;
  const auto expected = gradients_of(direct, batch, *model, &with);
  GradCache cached(step_of(model, options), TiledInfoNce(), {.chunk_size = 4});
  CHECK(gradient_error(gradients_of(cached, batch, *model, &result), expected) < 1e-10);
  CHECK(result == Approx(with));
  FullBatch plain(step_of(model), TiledInfoNce());
  gradients_of(plain, batch, *model, &without);
  CHECK(with > without);

  batch.keys[4] = batch.keys[2];
  FullBatch keyed(step_of(model, {.group_by_key = true}), TiledInfoNce());
  double masked = 0.0;
  gradients_of(keyed, batch, *model, &masked);
  CHECK(masked < without);
  batch.keys.pop_back();
  CHECK_THROWS_WITH(keyed(batch), Contains("8 keys for 9 pairs"));
}

TEST_CASE("A frozen tower runs once and gets no gradient", "[step][cpu]") {
  auto model = small_model();
  for (auto& parameter : model->visual()->parameters()) parameter.set_requires_grad(false);
  int forwards = 0;
  auto step = step_of(model);
  step.encoders[0].forward = [&, forward = step.encoders[0].forward](const at::Tensor& x) {
    ++forwards;
    return forward(x);
  };
  const auto batch = small_batch(20);
  GradCache cached(step, InfoNce{}, {.chunk_size = 5});
  FullBatch direct(step_of(model), InfoNce{});
  const auto expected = gradients_of(direct, batch, *model);
  CHECK(gradient_error(gradients_of(cached, batch, *model), expected, 0.1) < 1e-5);
  CHECK(forwards == 4);
}

TEST_CASE("A teacher runs once per step, in its own precision and without a graph", "[step][cpu]") {
  torch::manual_seed(3);
  torch::nn::Linear student(6, 5), teacher(6, 9);
  std::vector<at::ScalarType> seen;
  std::int64_t samples = 0;
  const auto linear_step = [](torch::nn::Linear layer,
                              const std::function<void(at::Tensor)>& look) {
    const auto encode = [layer, look](const at::Tensor& in) mutable -> Features {
      const auto out = layer(in);
      look(out);
      return unit_rows(out);
    };
    StepModel<> step;
    step.encoders = {{"x", encode}, {"y", encode}};
    step.head = [](const std::vector<Features>& f, const Batch&) {
      return Embeddings{f[0].tensors[0], f[1].tensors[0], torch::tensor(10.0)};
    };
    step.parameters = layer->parameters();
    return step;
  };
  const auto look = [&](const at::Tensor& out) {
    CHECK_FALSE(out.requires_grad());
    seen.push_back(out.scalar_type());
    samples += out.size(0);
  };
  teacher->train();
  freeze_teacher(*teacher);
  CHECK_FALSE(teacher->is_training());
  CHECK_FALSE(teacher->weight.requires_grad());
  for (const auto* precision : {"fp32", "bf16"}) {
    const auto model = with_teachers(
        linear_step(student, [](const at::Tensor&) {}),
        {{.model = linear_step(teacher, look), .precision = precision_policy(precision)}});
    CHECK(model.parameters.size() == 2);
    Batch batch;
    batch.tensors = {{"x", torch::randn({20, 6})}, {"y", torch::randn({20, 6})}};
    test::Gradients expected;
    for (const bool chunked : {false, true}) {
      seen.clear();
      samples = 0;
      const StepContext context{};
      if (chunked)
        static_cast<void>(GradCache(model, AffinityLoss(), {.chunk_size = 6}, context)(batch));
      else
        static_cast<void>(FullBatch(model, AffinityLoss(), context)(batch));
      CHECK(samples == 40);  // each image and each text once
      for (const auto kind : seen)
        CHECK(kind == (std::string(precision) == "bf16" ? at::kBFloat16 : at::kFloat));
      const auto gradients = test::take_gradients(*student);
      if (chunked)
        CHECK(test::gradient_error(gradients, expected, 0.1) < test::tolerance(torch::kFloat));
      expected = gradients;
    }
  }
}

TEST_CASE("Kept chunks save second forwards, within the bytes given", "[step][cpu]") {
  auto model = small_model();
  int forwards = 0;
  auto step = step_of(model);
  for (auto& encoder : step.encoders)
    encoder.forward = [&, forward = encoder.forward](const at::Tensor& x) {
      ++forwards;
      return forward(x);
    };
  step.encoders[1].trims_text = false;
  const auto batch = small_batch(40);
  const auto count = [&](double keep) {
    GradCache cached(step, InfoNce{}, {.chunk_size = 8, .keep_bytes = keep});
    cached(batch);
    forwards = 0;
    cached(batch);
    CHECK(forwards == 20 - cached.chunks_kept());
    return cached.chunks_kept();
  };
  CHECK(count(0.0) == 1);
  CHECK(count(1e12) == 10);
  CHECK(count(-1.0) == 10);
  const auto some = count(0.7e6);
  CHECK(some > 1);
  CHECK(some < 10);
}

TEST_CASE("The peak of memory is that of one chunk's activations and of the features",
          "[step][cpu]") {
  auto model = small_model();
  const auto peak = [&](std::int64_t samples, std::int64_t chunk) {
    const auto batch = small_batch(samples);
    GradCache cached(step_of(model), TiledInfoNce({.tiles = kTiles}), {.chunk_size = chunk});
    cached(batch);  // gradients are there from now on
    const MemoryMeter meter;
    cached(batch);
    return static_cast<double>(meter.peak_bytes());
  };
  const double one_chunk = peak(16, 16);
  // 32 times the batch costs its features, their gradients and the states of the generator, 5 KB a
  // chunk, not 32 times the activations.
  CHECK(peak(512, 16) < 2.0 * one_chunk);
  CHECK(peak(512, 512) > 15.0 * one_chunk);
}

TEST_CASE("bf16 and fp16 chunks are as exact as the whole batch in the same precision",
          "[step][cpu]") {
  auto model = small_model();
  const auto batch = small_batch(64);
  FullBatch exact(step_of(model), InfoNce{});
  const auto expected = gradients_of(exact, batch, *model);
  for (const auto* name : {"bf16", "fp16"}) {
    const auto policy = precision_policy(name);
    LossScaler scaler(policy, torch::kCPU, {.initial_scale = 1024.0});
    const StepContext context{.precision = policy, .scaler = &scaler};
    const double scale = scaler.enabled() ? 1024.0 : 1.0;
    const auto error = [&](auto&& step) {
      auto gradients = gradients_of(step, batch, *model);
      for (auto& [_, gradient] : gradients) gradient = gradient / scale;
      return gradient_error(gradients, expected, 0.1);
    };
    const double whole = error(FullBatch(step_of(model), InfoNce{}, context));
    CHECK(whole > 1e-5);  // 16 bit it is
    for (const auto chunk : {9, 64})
      for (const double keep : {0.0, 1e12})
        CHECK(error(GradCache(step_of(model), TiledInfoNce(),
                              {.chunk_size = chunk, .keep_bytes = keep}, context)) < 1.5 * whole);
  }
}

TEST_CASE("A separable loss is averaged over micro-batches", "[step][cpu]") {
  auto model = small_model();
  model->to(torch::kDouble);
  const auto batch = small_batch(23, torch::kDouble);
  double whole = 0.0, parts = 0.0;
  FullBatch direct(step_of(model), PairDistance{});
  const auto expected = gradients_of(direct, batch, *model, &whole);
  Accumulator accumulated(step_of(model), PairDistance{}, {.micro_batch = 5});
  CHECK(gradient_error(gradients_of(accumulated, batch, *model, &parts), expected) < 1e-11);
  CHECK(parts == Approx(whole).epsilon(1e-12));
  const auto terms = accumulated(batch);
  REQUIRE(terms.parts.size() == 1);
  CHECK(terms.parts[0].second.item<double>() == Approx(whole).epsilon(1e-12));
}

TEST_CASE("Gradients are added to existing gradients", "[step][cpu]") {
  auto model = small_model();
  model->to(torch::kDouble);
  const auto batch = small_batch(9, torch::kDouble);
  GradCache cached(step_of(model), InfoNce{}, {.chunk_size = 4});
  auto twice = gradients_of(cached, batch, *model);
  for (auto& [_, gradient] : twice) gradient.mul_(2);
  cached(batch);
  cached(batch);
  CHECK(gradient_error(test::take_gradients(*model), twice) < 1e-11);
}

TEST_CASE("When memory runs out the chunks are halved, and the result is the same", "[step][cpu]") {
  auto model = small_model(0.3);
  model->to(torch::kDouble);
  const auto batch = small_batch(32, torch::kDouble);
  // Memory "runs out" in the second pass of a large chunk, after others went back already.
  int forwards = 0;
  const auto failing = [&](std::int64_t largest, int from) {
    auto step = step_of(model);
    step.encoders[0].forward = [&, largest, from,
                                forward = step.encoders[0].forward](const at::Tensor& x) {
      if (++forwards >= from && x.size(0) > largest) throw std::bad_alloc();
      return forward(x);
    };
    return step;
  };
  for (const int from : {1, 3, 6}) {
    forwards = 0;
    GradCache small(step_of(model), InfoNce{}, {.chunk_size = 8});
    const auto expected = gradients_of(small, batch, *model);
    GradCache cached(failing(8, from), InfoNce{}, {.chunk_size = 16});
    // Gradients of an earlier step must survive.
    for (auto& parameter : model->parameters())
      parameter.mutable_grad() = torch::ones_like(parameter);
    auto result = gradients_of(cached, batch, *model);
    for (auto& [_, gradient] : result) gradient.sub_(1.0);
    CHECK(cached.chunk_size() == (from < 6 ? 8 : 16));
    if (from < 6) CHECK(gradient_error(result, expected) < 1e-10);
    cached.measure_again();
    CHECK(cached.chunk_size() == 16);
  }
  forwards = 0;
  GradCache hopeless(failing(0, 1), InfoNce{}, {.chunk_size = 4});
  CHECK_THROWS_WITH(hopeless(batch), Contains("out of memory with chunks of 1 samples"));
  GradCache strict(failing(8, 1), InfoNce{}, {.chunk_size = 16, .retry_out_of_memory = false});
  CHECK_THROWS_AS(strict(batch), std::bad_alloc);
}

TEST_CASE("The chunk size is measured when none is given, and changes nothing", "[step][cpu]") {
  auto model = small_model(0.3);
  const auto batch = small_batch(256);
  GradCache cached(step_of(model), InfoNce{});
  CHECK(cached.chunk_size() == 0);
  torch::manual_seed(77);
  cached(batch);
  CHECK(cached.chunk_size() >= 8);
  CHECK(cached.chunk_size() <= 256);
  const auto result = test::take_gradients(*model);
  GradCache given(step_of(model), InfoNce{}, {.chunk_size = cached.chunk_size()});
  CHECK(gradient_error(result, gradients_of(given, batch, *model)) == 0.0);
  cached.measure_again();
  CHECK(cached.chunk_size() == 0);
  cached(batch);
  CHECK(cached.chunk_size() >= 8);
  const auto little = choose_chunk_size(step_of(model), batch, {},
                                        {.memory_fraction = 1.0, .free_memory_bytes = 1e6});
  CHECK(little < 100);
  CHECK_THROWS_WITH(choose_chunk_size(step_of(model), batch, {}, {.free_memory_bytes = 1e5}),
                    Contains("not one sample fits"));
}

TEST_CASE("Ranks with chunks have the gradients of one process with the whole batch",
          "[step][cpu]") {
  const auto batch = small_batch(21, torch::kDouble);
  auto whole_model = small_model();
  whole_model->to(torch::kDouble);
  FullBatch direct(step_of(whole_model), InfoNce{});
  double expected_loss = 0.0;
  const auto expected = gradients_of(direct, batch, *whole_model, &expected_loss);
  for (const auto ranks : {2, 4})
    for (const bool cached : {false, true}) {
      std::vector<Gradients> results(static_cast<std::size_t>(ranks));
      std::vector<double> losses(static_cast<std::size_t>(ranks));
      std::vector<DualEncoder> models;
      for (int r = 0; r < ranks; ++r) {
        models.push_back(small_model());
        models.back()->to(torch::kDouble);
      }
      test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
        const auto r = static_cast<std::size_t>(rank.rank());
        const auto begin = 21 * rank.rank() / ranks;
        const auto count = 21 * (rank.rank() + 1) / ranks - begin;
        const auto part = test::part_of(batch, begin, count);
        auto& model = models[r];
        const TiledInfoNce loss({.ring = true}, rank);
        const StepContext context{.ranks = rank};
        std::optional<LossTerms> terms;
        if (cached)
          terms = GradCache(step_of(model), loss, {.chunk_size = 3}, context)(part);
        else
          terms = FullBatch(step_of(model), loss, context)(part);
        losses[r] = terms->total.item<double>();
        results[r] = test::take_gradients(*model);
      });
      for (std::size_t r = 0; r < results.size(); ++r) {
        CHECK(losses[r] == Approx(expected_loss).epsilon(1e-12));
        CHECK(gradient_error(results[r], expected) < 1e-10);
      }
    }
}

TEST_CASE("Ranks agree on one measured chunk size", "[step][cpu]") {
  std::vector<std::int64_t> sizes(2);
  std::vector<DualEncoder> models{small_model(), small_model()};
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto r = static_cast<std::size_t>(rank.rank());
    const StepContext context{.ranks = rank};
    // One rank has half the memory.
    sizes[r] = choose_chunk_size(step_of(models[r]), small_batch(64), context,
                                 {.memory_fraction = 1.0, .free_memory_bytes = r == 0 ? 1e9 : 1e6});
  });
  CHECK(sizes[0] == sizes[1]);
  CHECK(sizes[0] < 64);
}

TEST_CASE("When one rank runs out of memory after the loss, all repeat the step together",
          "[step][cpu]") {
  const auto batch = small_batch(24, torch::kDouble);
  const auto run = [&](bool fails) {
    std::vector<Gradients> results(2);
    std::vector<std::int64_t> sizes(2);
    std::vector<DualEncoder> models{small_model(), small_model()};
    for (auto& model : models) model->to(torch::kDouble);
    test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
      const auto r = static_cast<std::size_t>(rank.rank());
      const auto part = test::part_of(batch, 12 * rank.rank(), 12);
      auto step = step_of(models[r]);
      int forwards = 0;
      step.encoders[0].forward = [&, forward = step.encoders[0].forward](const at::Tensor& x) {
        // The first pass has two chunks of 6.
        if (fails && r == 1 && ++forwards > 2 && x.size(0) > 3) throw std::bad_alloc();
        return forward(x);
      };
      GradCache cached(step, TiledInfoNce({}, rank), {.chunk_size = fails ? 6 : 3},
                       {.ranks = rank});
      cached(part);
      sizes[r] = cached.chunk_size();
      results[r] = test::take_gradients(*models[r]);
    });
    CHECK(sizes == std::vector<std::int64_t>{3, 3});
    CHECK(gradient_error(results[0], results[1]) == 0.0);
    return results[0];
  };
  const auto expected = run(false);
  CHECK(gradient_error(run(true), expected) < 1e-10);
}

TEST_CASE("Step strategies name what they cannot use", "[step][cpu]") {
  CHECK_THROWS_WITH(FullBatch<InfoNce>(StepModel<>{}), Contains("pair_step_model()"));
  const auto model = small_model();
  CHECK_THROWS_WITH(GradCache(step_of(model), InfoNce{}, {.chunk_size = -1}),
                    Contains("chunk_size (-1)"));
  CHECK_THROWS_WITH(Accumulator(step_of(model), InfoNce{}, {.micro_batch = -1}),
                    Contains("micro_batch (-1)"));
  auto step = step_of(model, {.x_input = "picture"});
  CHECK_THROWS_WITH(GradCache(step, InfoNce{}, {.chunk_size = 2})(small_batch(4)),
                    Contains("no tensor named 'picture'"));
  auto batch = small_batch(4);
  batch.tensors["text"] = batch.tensors["text"].narrow(0, 0, 3);
  CHECK_THROWS_WITH(FullBatch(step_of(model), InfoNce{})(batch),
                    Contains("made [4, 8] of 'image' and [3, 8] of 'text'"));
  step = step_of(model);
  step.encoders[0].forward = [](const at::Tensor&) -> Features { return torch::zeros({1, 8}); };
  CHECK_THROWS_WITH(GradCache(step, InfoNce{}, {.chunk_size = 2})(small_batch(4)),
                    Contains("made [1, 8] of 2 samples"));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/pruning_masks.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/compress/extract_pruned.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/optim/lion.hpp"
#include "contrapunto/optim/muon.hpp"
#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/towers/checkpoint_activations.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// A model in float64 whose heads have 6 numbers.
ModelConfig four_heads(const std::string& kind = "ViT-B-32") {
  auto config = test::small_config(kind);
  std::get<VisionTransformerOptions>(config.image).heads = config.text.heads = 4;
  return config;
}

DualEncoder double_model(const ModelConfig& config) {
  auto model = make_dual_encoder(config);
  model->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters())  // Also the gains and biases of the norms.
    if (parameter.dim() == 1) parameter.add_(torch::randn_like(parameter), 0.2);
  return model;
}

Batch batch_of(std::int64_t pairs, const ModelConfig& config) {
  std::vector<std::int64_t> ends;
  for (std::int64_t i = 0; i < pairs; ++i) ends.push_back(3 + i % 12);
  Batch batch{
      {{"image", torch::randn({pairs, 3, config.image_size(), config.image_size()}, at::kDouble)},
       {"text", test::texts(ends)}},
      {}};
  for (std::int64_t i = 0; i < pairs; ++i) batch.keys.push_back(std::to_string(i));
  return batch;
}

Batch rows_of(const Batch& batch, std::int64_t begin, std::int64_t count) {
  Batch part;
  for (const auto& [name, tensor] : batch.tensors)
    part.tensors[name] = tensor.narrow(0, begin, count);
  part.keys.assign(batch.keys.begin() + begin, batch.keys.begin() + begin + count);
  return part;
}

/// Gives the masks random distributions, so that about a third of the units are closed.
void randomize(PruningMasks& masks) {
  masks.save_state().tensors.at("log_alpha").uniform_(-4.0, 2.0);
}

std::vector<at::Tensor> features(const DualEncoder& model, const Batch& batch) {
  const at::NoGradGuard no_grad;
  return {model->encode_image(batch.at("image")), model->encode_text(batch.at("text"))};
}

}  // namespace

TEST_CASE("Masks of 1 change nothing", "[compress][cpu]") {
  torch::manual_seed(1);
  const auto config = four_heads();
  auto model = double_model(config);
  const auto batch = batch_of(5, config);
  const auto before = features(model, batch);
  PruningMasks masks(model, config, {});
  masks.sample_(0);
  const auto after = features(model, batch);
  for (std::size_t i = 0; i < 2; ++i) CHECK(test::close(after[i], before[i]));
  CHECK(masks.expected_sparsity() == Approx(0.0).margin(1e-4));
  for (const auto& kept : masks.kept()) CHECK(kept.width.numel() == 24);
}

TEST_CASE("The extracted network is the masked one", "[compress][cpu]") {
  torch::manual_seed(2);
  struct Case {
    bool pre_norm, average, fixed, loses_attention;
  };
  for (const auto& [pre_norm, average, fixed, loses_attention] :
       {Case{true, false, true, false}, Case{true, false, false, true},
        Case{false, true, true, true}, Case{true, true, false, false}})
    for (const bool first_layer : {false, true}) {
      CAPTURE(pre_norm, average, fixed, loses_attention, first_layer);
      auto config = four_heads();
      auto& vit = std::get<VisionTransformerOptions>(config.image);
      vit.pre_norm = pre_norm;
      vit.patch_bias = average;
      if (average) vit.pool = ImagePool::kAverage;
      auto model = double_model(config);
      PruningMasks masks(model, config, {.width_multiple = 4, .hidden_multiple = 16});
      randomize(masks);
      if (loses_attention) {  // All heads of a layer: they come after the width.
        auto all = masks.save_state().tensors.at("log_alpha");
        const std::int64_t layer = first_layer ? 0 : 1, per_layer = 4 + 96;
        const std::int64_t tower = 24 + 3 * per_layer;
        for (const std::int64_t begin : {std::int64_t{0}, tower})
          all.narrow(0, begin + 24 + layer * per_layer, 4).fill_(-4.6);
      }
      if (fixed) {
        masks.fix_();
      } else {
        masks.sample_(7);
        const auto gates = masks.kept().front().hidden_mask.front();
        REQUIRE(gates.gt(0).logical_and(gates.lt(1)).any().item<bool>());
      }
      const auto kept = masks.kept();
      REQUIRE(kept.size() == 2);
      for (const auto& tower : kept) {
        CHECK(0 < tower.width.numel());
        CHECK(tower.width.numel() < 24);
        if (!fixed) continue;
        CHECK(tower.width.numel() % 4 == 0);
        for (const auto& hidden : tower.hidden) CHECK(hidden.numel() % 16 == 0);
        if (loses_attention) CHECK(tower.heads[first_layer ? 0 : 1].numel() == 0);
      }

      const auto batch = batch_of(6, config);
      const auto smaller = extract_pruned(model, config, masks);
      const auto expected = features(model, batch), result = features(smaller.model, batch);
      for (std::size_t i = 0; i < 2; ++i) CHECK(test::close(result[i], expected[i], 10));
      std::int64_t before = 0, after = 0;
      for (const auto& parameter : model->parameters()) before += parameter.numel();
      for (const auto& parameter : smaller.model->parameters()) after += parameter.numel();
      CHECK(after < before);
      CHECK(smaller.config.text.layer_heads.size() == 3);
      const auto report = Extraction(masks, config).report();
      REQUIRE(report.size() == 2);
      CHECK_THAT(report[1], Contains("text: width " + std::to_string(kept[1].width.numel()) +
                                     " of 24, heads "));
    }
}

TEST_CASE("The extracted network in float32 is the masked one to rounding", "[compress][cpu]") {
  torch::manual_seed(3);
  const auto config = four_heads();
  auto model = make_dual_encoder(config);
  auto batch = batch_of(6, config);
  batch.tensors["image"] = batch.at("image").to(at::kFloat);
  PruningMasks masks(model, config, {});
  randomize(masks);
  masks.fix_();
  const auto smaller = extract_pruned(model, config, masks);
  const auto expected = features(model, batch), result = features(smaller.model, batch);
  // The exactness contract of design.md.
  for (std::size_t i = 0; i < 2; ++i) CHECK(test::relative_error(result[i], expected[i]) < 1e-5);
}

TEST_CASE("Moments and averages are extracted with the weights", "[compress][cpu]") {
  torch::manual_seed(4);
  const auto config = four_heads();
  auto model = double_model(config);
  const auto groups = decay_groups(*model, 0.1);
  AdamW optimizer(groups);
  PruningMasks masks(model, config, {});
  randomize(masks);
  masks.fix_();
  const Extraction extraction(masks, config);
  auto smaller = extraction.model(model);
  AdamW small_optimizer(decay_groups(*smaller, 0.1));

  // The same step in both. The gradients, and so the moments, of both networks belong together.
  const auto batch = batch_of(6, config);
  FullBatch step(pair_step_model(model, at::kCPU), TiledInfoNce(), StepContext{});
  FullBatch small_step(pair_step_model(smaller, at::kCPU), TiledInfoNce(), StepContext{});
  (void)step(batch);
  (void)small_step(batch);
  optimizer.step(1e-3);
  small_optimizer.step(1e-3);
  const auto moments = extraction.optimizer_state(optimizer.save_state());
  const auto expected = small_optimizer.save_state();
  REQUIRE(moments.tensors.size() == expected.tensors.size());
  CHECK((moments.scalars == expected.scalars));
  // Relative to the largest moment: sums of the same products in another order.
  double largest = 0.0;
  for (const auto& [name, tensor] : expected.tensors)
    if (name.starts_with("exp_avg."))
      largest = std::max(largest, tensor.abs().max().item<double>());
  for (const auto& [name, tensor] : expected.tensors) {
    INFO(name);
    REQUIRE(moments.tensors.contains(name));
    const bool square = name.starts_with("exp_avg_sq.");
    const auto error = (moments.tensor(name) - tensor).abs().max().item<double>();
    CHECK(error <= 1e-10 * (square ? largest * largest : largest));
  }
  small_optimizer.load_state(moments);

  const auto check_rule = [&](const auto& rule) {
    Optimizer large(groups, rule), small(decay_groups(*smaller, 0.1), rule);
    large.step(0.0);
    small.step(0.0);
    const auto moved = extraction.optimizer_state(large.save_state());
    const auto own = small.save_state();
    REQUIRE(moved.tensors.size() == own.tensors.size());
    CHECK((moved.scalars == own.scalars));
    for (const auto& [name, tensor] : own.tensors) {
      INFO(rule.name() << " " << name);
      REQUIRE(moved.tensors.contains(name));
      CHECK((moved.tensor(name) - tensor).abs().max().template item<double>() <= 1e-10 * largest);
    }
    small.load_state(moved);
  };
  check_rule(LionRule{});
  check_rule(MuonRule{});
  auto unknown = optimizer.save_state();
  unknown.tensors["max_exp_avg_sq.logit_scale"] = torch::zeros({});
  CHECK_THROWS_WITH(extraction.optimizer_state(unknown),
                    Contains("keeps 1 tensors that are no means"));

  TensorMap named;
  for (const auto& item : model->named_parameters()) named[item.key()] = item.value();
  const auto cut = extraction.tensors(named);
  CHECK(cut.size() == smaller->named_parameters().size());
}

TEST_CASE("Masks have the gradients of the whole batch in every strategy", "[compress][cpu]") {
  torch::manual_seed(5);
  const auto config = four_heads();
  auto model = double_model(config);
  const auto batch = batch_of(8, config);
  PruningMasks masks(model, config, {});
  randomize(masks);
  std::vector<at::Tensor> all = model->parameters();
  const auto gradients = [&](auto&& strategy) {
    masks.sample_(3);
    for (const auto& parameter : all) at::Tensor(parameter).mutable_grad().reset();
    (void)strategy(batch);
    std::vector<at::Tensor> result;
    for (const auto& parameter : all)
      result.push_back(parameter.grad().defined() ? parameter.grad().clone()
                                                  : torch::zeros_like(parameter));
    return result;
  };
  const auto step_model = [&] { return pair_step_model(model, at::kCPU, {.trim_y = true}); };
  const auto expected = gradients(FullBatch(step_model(), TiledInfoNce(), StepContext{}));
  double masks_gradient = 0.0;
  for (const auto& mask : masks.parameters())
    masks_gradient += mask.grad().abs().sum().item<double>();
  CHECK(masks_gradient > 1e-3);
  const auto check = [&](const std::vector<at::Tensor>& result) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      CAPTURE(i);
      // Relative to a gradient of order 1; a sum in another order.
      CHECK((result[i] - expected[i]).abs().max().item<double>() < 1e-11);
    }
  };
  check(gradients(
      GradCache(step_model(), TiledInfoNce(), {.chunk_size = 3, .keep_bytes = 0}, StepContext{})));
  check(gradients(GradCache(step_model(), TiledInfoNce(), {.chunk_size = 4}, StepContext{})));
  checkpoint_activations(*model);
  check(gradients(
      GradCache(step_model(), TiledInfoNce(), {.chunk_size = 5, .keep_bytes = 0}, StepContext{})));
}

TEST_CASE("Ranks draw the same masks and sum their gradients", "[compress][cpu]") {
  torch::manual_seed(9);
  const auto config = four_heads();
  const auto batch = batch_of(8, config);
  std::vector<DualEncoder> models;
  for (int i = 0; i < 3; ++i) {
    torch::manual_seed(10);
    models.push_back(double_model(config));
  }
  std::vector<PruningMasks> masks;
  for (auto& model : models) {
    masks.emplace_back(model, config, PruningOptions{.seed = 3});
    torch::manual_seed(11);
    randomize(masks.back());
    masks.back().sample_(4);
  }
  (void)FullBatch(pair_step_model(models[2], at::kCPU), TiledInfoNce(), StepContext{})(batch);
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto r = static_cast<std::size_t>(rank.rank());
    const auto part = rows_of(batch, r == 0 ? 0 : 5, r == 0 ? 5 : 3);
    GradCache step(pair_step_model(models[r], at::kCPU), TiledInfoNce({}, rank),
                   {.chunk_size = 2, .keep_bytes = 0}, {.ranks = rank});
    (void)step(part);
  });
  for (auto& each : masks) each.update_(4);
  for (std::size_t r = 0; r < 2; ++r) {
    const auto own = masks[r].parameters(), whole = masks[2].parameters();
    for (std::size_t i = 0; i < own.size(); ++i) {
      CHECK(own[i].equal(whole[i]));
      CHECK((own[i].grad() - whole[i].grad()).abs().max().item<double>() < 1e-11);
    }
    CHECK(test::close(masks[r].save_state().tensors.at("log_alpha"),
                      masks[2].save_state().tensors.at("log_alpha")));
  }
}

TEST_CASE("The gradient of a distribution is that of its drawn masks and of the sparsity",
          "[compress][cpu]") {
  torch::manual_seed(6);
  const auto config = four_heads();
  // The expected sparsity is about 0.55, so one target is above and one is below.
  for (const auto& [joint, target] : {std::pair{true, 0.9}, {true, 0.1}, {false, 0.9}})
    for (const auto measure : {SizeMeasure::kParameters, SizeMeasure::kMacs}) {
      CAPTURE(joint, target, static_cast<int>(measure));
      auto model = double_model(config);
      const PruningOptions options{.joint = joint,
                                   .measure = measure,
                                   .target_sparsity = target,
                                   .ramp_steps = 0,
                                   .lr = 1e-3};
      PruningMasks masks(model, config, options);
      randomize(masks);
      const auto log_alpha = masks.save_state().tensors.at("log_alpha");
      const auto before = log_alpha.to(at::kDouble).clone();

      // The Lagrangian of this distribution, by loops and in float64.
      const HardConcrete gates;
      const auto lagrangian = [&](const at::Tensor& location) {
        const auto open = gates.open_probability(location);
        std::int64_t at = 0;
        const auto take = [&](std::int64_t n) {
          const double sum = open.narrow(0, at, n).sum().item<double>();
          at += n;
          return sum;
        };
        double total = 0.0, left = 0.0, full = 0.0;
        for (const auto& units : {image_units(config, measure), text_units(config, measure)}) {
          const bool macs = measure == SizeMeasure::kMacs;
          const bool image = units.prefix == "visual.";
          const double length = image ? 17 : 16;
          const double w = take(24);
          const double use = macs ? length : 1;
          double size = macs ? w * (image ? 16.0 * 3 * 64 + 20 : 20) : 0.0;
          double all = macs ? 24.0 * (image ? 16.0 * 3 * 64 + 20 : 20) : 0.0;
          for (int layer = 0; layer < 3; ++layer) {
            const double heads = take(4), hidden = take(96);
            size += use * (4 * 6 * heads * w + 2 * hidden * w);
            all += use * (4 * 24 * 24 + 2 * 96 * 24);
            if (macs) {
              size += 2 * length * length * 6 * heads;
              all += 2 * length * length * 24;
            }
          }
          CHECK(units.size() == Approx(all));
          left += size, full += all;
          if (joint && image) continue;
          const double missing = target - (1 - left / full);
          total += 10 * missing * missing;
          left = full = 0.0;
        }
        return total;
      };

      masks.sample_(11);
      // A loss whose gradient by every mask is known.
      std::vector<at::Tensor> weights;
      for (const auto& mask : masks.parameters()) weights.push_back(torch::randn_like(mask));
      for (std::size_t i = 0; i < weights.size(); ++i)
        at::Tensor(masks.parameters()[i]).mutable_grad() = weights[i].clone();
      masks.update_(0);
      // Adam's first step is lr times the sign of the gradient, so its mean tells the gradient.
      const auto mean = masks.save_state().tensors.at("exp_avg.log_alpha").to(at::kDouble) / 0.1;
      RandomStream random(0, 11, std::uint64_t{1} << 61);
      std::vector<double> uniform;
      for (std::int64_t i = 0; i < before.numel(); ++i) uniform.push_back(random.uniform());
      const auto drawn = gates.sample(before, torch::tensor(uniform, at::kDouble));
      for (std::int64_t unit = 0; unit < before.numel(); unit += 7) {
        // The sum of the gradients of all masks of the unit.
        double by_mask = 0.0;
        const std::int64_t tower = unit / (24 + 300), inside = unit % (24 + 300);
        // Norms of the width, of which the image tower has one more; then two for each layer.
        const std::size_t norms = tower == 0 ? 8 : 7, first = tower == 0 ? 0 : 14;
        if (inside < 24) {
          for (std::size_t m = 0; m < norms; ++m)
            by_mask += weights[first + m][inside].item<double>();
        } else {
          const auto layer = (inside - 24) / 100, place = (inside - 24) % 100;
          const auto m = first + norms + static_cast<std::size_t>(2 * layer + (place < 4 ? 0 : 1));
          by_mask = weights[m][place < 4 ? place : place - 4].item<double>();
        }
        auto above = before.clone(), below = before.clone();
        const double h = 1e-5;
        above[unit] += h, below[unit] -= h;
        const double expected = by_mask * drawn.slope[unit].item<double>() +
                                (lagrangian(above) - lagrangian(below)) / (2 * h);
        CAPTURE(unit);
        CHECK(mean[unit].item<double>() == Approx(expected).margin(2e-5).epsilon(1e-4));
      }
      // The multipliers ascend.
      const auto multipliers = masks.save_state().tensors.at("multipliers");
      const double first = multipliers.select(1, 0).min().item<double>();
      CHECK((target > 0.5 ? first > 0.0 : first < 0.0));
      CHECK(multipliers.select(1, 1).min().item<double>() > 10.0);
    }
}

TEST_CASE("The sparsity reaches its target and stays there", "[compress][cpu]") {
  torch::manual_seed(7);
  const auto config = four_heads();
  auto model = make_dual_encoder(config);
  PruningMasks masks(model, config, {.target_sparsity = 0.5, .ramp_steps = 400});
  CHECK(masks.target(0) == 0.0);
  CHECK(masks.target(200) == Approx(0.25));
  CHECK(masks.target(1000) == Approx(0.5));
  for (std::int64_t step = 0; step < 700; ++step) {
    masks.sample_(step);
    for (const auto& mask : masks.parameters())
      at::Tensor(mask).mutable_grad() = torch::zeros_like(mask);
    masks.update_(step);
  }
  CHECK(masks.expected_sparsity() == Approx(0.5).margin(0.02));
  // The units that are kept have nearly the size that is expected; each layer is rounded to 8.
  masks.fix_();
  double kept = 0.0, all = 0.0;
  for (const auto& tower : masks.kept()) {
    auto units = tower.units;
    all += units.size();
    units.width = tower.width.numel();
    for (std::size_t i = 0; i < units.layers(); ++i) {
      units.heads[i] = tower.heads[i].numel();
      units.hidden[i] = tower.hidden[i].numel();
    }
    kept += units.size();
  }
  CHECK(kept < 0.8 * all);
  CHECK(kept > 0.25 * all);
}

TEST_CASE("Steps with masks resume bit for bit", "[compress][cpu]") {
  const auto config = four_heads();
  const auto start = [&] {
    torch::manual_seed(8);
    return double_model(config);
  };
  const auto run = [&](PruningMasks& masks, std::int64_t from, std::int64_t to) {
    std::vector<at::Tensor> drawn;
    for (auto step = from; step < to; ++step) {
      masks.sample_(step);
      drawn.clear();
      for (const auto& mask : masks.parameters()) {
        drawn.push_back(mask.detach().clone());
        at::Tensor(mask).mutable_grad() = mask.detach() - 0.3;
      }
      masks.update_(step);
    }
    return drawn;
  };
  auto whole_model = start();
  PruningMasks whole(whole_model, config, {.seed = 5});
  const auto expected = run(whole, 0, 6);
  auto first_model = start(), second_model = start();
  PruningMasks first(first_model, config, {.seed = 5}), second(second_model, config, {.seed = 5});
  (void)run(first, 0, 4);
  auto state = first.save_state();
  for (auto& [_, tensor] : state.tensors) tensor = tensor.clone();
  second.load_state(state);
  const auto resumed = run(second, 4, 6);
  REQUIRE(resumed.size() == expected.size());
  for (std::size_t i = 0; i < resumed.size(); ++i) CHECK(resumed[i].equal(expected[i]));
  auto other_config = config;
  other_config.text.layers = 2;
  auto other_model = make_dual_encoder(other_config);
  PruningMasks other(other_model, other_config, {});
  CHECK_THROWS_WITH(other.load_state(state), Contains("belongs to other towers"));
}

TEST_CASE("Masks that cannot be are refused", "[compress][cpu]") {
  const auto config = four_heads();
  auto model = make_dual_encoder(config);
  CHECK_THROWS_WITH(PruningMasks(model, config, {.image = false, .text = false}),
                    Contains("neither tower has masks"));
  CHECK_THROWS_WITH(PruningMasks(model, config, {.target_sparsity = 1.0}),
                    Contains("target_sparsity (1)"));
  CHECK_THROWS_WITH(PruningMasks(model, config, {.width_multiple = 0}),
                    Contains("width_multiple (0)"));
  const auto resnet = test::small_config("RN50");
  auto resnet_model = make_dual_encoder(resnet);
  CHECK_THROWS_WITH(PruningMasks(resnet_model, resnet, {}), Contains("leave the image tower out"));
  PruningMasks text_only(resnet_model, resnet, {.image = false});
  CHECK(text_only.kept().size() == 1);
  PruningMasks masks(model, config, {});
  masks.sample_(0);
  CHECK_THROWS_WITH(masks.update_(0), Contains("a mask has no gradient"));
}

TEST_CASE("Masks on CUDA are those on the CPU", "[compress][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  torch::manual_seed(12);
  const auto config = four_heads();
  const auto batch = batch_of(8, config);
  std::vector<DualEncoder> models;
  std::vector<PruningMasks> masks;
  for (const auto device : {at::kCPU, at::kCUDA}) {
    torch::manual_seed(13);
    models.push_back(double_model(config));
    models.back()->to(at::Device(device));
    masks.emplace_back(models.back(), config, PruningOptions{.seed = 2});
  }
  randomize(masks[0]);
  masks[1]
      .save_state()
      .tensors.at("log_alpha")
      .copy_(masks[0].save_state().tensors.at("log_alpha"));
  for (std::size_t i = 0; i < 2; ++i) {
    const auto device = models[i]->logit_scale.device();
    masks[i].sample_(5);
    GradCache step(pair_step_model(models[i], device), TiledInfoNce(),
                   {.chunk_size = 3, .keep_bytes = 0}, {.device = device});
    (void)step(batch);
    masks[i].update_(5);
  }
  CHECK(test::relative_error(masks[1].save_state().tensors.at("exp_avg.log_alpha"),
                             masks[0].save_state().tensors.at("exp_avg.log_alpha")) < 1e-4);
  masks[1].fix_();
  const auto smaller = extract_pruned(models[1], config, masks[1]);
  CHECK(smaller.model->logit_scale.is_cuda());
  Batch there = batch.to(at::kCUDA);
  const auto expected = features(models[1], there), result = features(smaller.model, there);
  for (std::size_t i = 0; i < 2; ++i) CHECK(test::relative_error(result[i], expected[i]) < 1e-10);
}

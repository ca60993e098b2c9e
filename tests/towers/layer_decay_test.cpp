// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/layer_decay.hpp"

#include <cmath>
#include <map>

#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/towers/lock_towers.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using Catch::Matchers::WithinRel;

namespace {

/// The factor of the learning rate and the weight decay of each parameter.
std::map<std::string, std::pair<double, double>> by_name(
    const std::vector<ParameterGroup>& groups) {
  std::map<std::string, std::pair<double, double>> result;
  for (const auto& group : groups)
    for (const auto& name : group.parameter_names) {
      CHECK_FALSE(result.contains(name));
      result[name] = {group.lr_multiplier, group.weight_decay};
    }
  return result;
}

/// BEiT's depth of a parameter of a transformer tower with `layers` blocks: 0 for the embeddings, i
/// + 1 for block i, the last block's for the norm after it, and one more for the projection.
int depth(const std::string& name, int layers) {
  if (const auto at = name.find("resblocks."); at != std::string::npos)
    return std::stoi(name.substr(at + 10)) + 1;
  if (name.find("ln_post") != std::string::npos || name.find("ln_final") != std::string::npos)
    return layers;
  return name == "visual.proj" || name.find("text_projection") != std::string::npos ? layers + 1
                                                                                    : 0;
}

}  // namespace

TEST_CASE("Learning rates fall by a factor per layer towards the input of both towers",
          "[towers][cpu]") {
  const auto config = test::small_config("ViT-B-32");
  const auto model = make_dual_encoder(config);
  const auto groups = decay_groups(*model, 0.2);
  const auto before = by_name(groups), after = by_name(layer_decay(groups, model, 0.7));
  REQUIRE(after.size() == before.size());
  const auto layers = [&](const std::string& name) {
    return static_cast<int>(name.starts_with("visual.")
                                ? std::get<VisionTransformerOptions>(config.image).layers
                                : config.text.layers);
  };
  for (const auto& [name, factor] : after) {
    INFO(name);
    const bool in_tower = name.starts_with("visual.") || name.starts_with("text.");
    const double expected =
        in_tower ? std::pow(0.7, layers(name) + 1 - depth(name, layers(name))) : 1.0;
    CHECK_THAT(factor.first, WithinRel(expected, 1e-12));
    CHECK(factor.second == before.at(name).second);
  }
  CHECK(after.at("logit_scale").first == 1.0);
  CHECK(after.at("visual.conv1.weight").first < 0.7 * 0.7);
}

TEST_CASE("A layer decay of 1 leaves the groups as they are", "[towers][cpu]") {
  const auto model = make_dual_encoder(test::small_config("ViT-B-32"));
  const auto groups = decay_groups(*model, 0.2);
  const auto same = layer_decay(groups, model, 1.0);
  REQUIRE(same.size() == groups.size());
  for (std::size_t i = 0; i < same.size(); ++i)
    CHECK(same[i].parameter_names == groups[i].parameter_names);
}

TEST_CASE("Layer decay leaves out what is frozen and multiplies the rates that are there",
          "[towers][cpu]") {
  auto model = make_dual_encoder(test::small_config("RN50"));
  lock_image_tower(model, /*unlocked_groups=*/1);
  lock_text_tower(model);
  auto groups = decay_groups(*model, 0.2);
  for (auto& group : groups) group.lr_multiplier = 0.5;
  for (const auto& [name, factor] : by_name(layer_decay(groups, model, 0.1)))
    CHECK_THAT(factor.first, WithinRel(0.5, 1e-12));  // attnpool, the last layer, and the scale
}

TEST_CASE("Layers may be given as names and globs", "[towers][cpu]") {
  const auto p = [] { return torch::ones({2}).requires_grad_(true); };
  const std::vector<ParameterGroup> groups{
      {"g", {p(), p(), p(), p(), p()}, {"m.stem", "m.a.w", "m.b1.w", "m.b2.w", "other"}, 0.1}};
  const auto factors = by_name(layer_decay(groups, {{}, {"a"}, {"b?.w"}}, 0.5, "m."));
  CHECK(factors.at("m.stem").first == 0.25);
  CHECK(factors.at("m.a.w").first == 0.5);
  CHECK(factors.at("m.b1.w").first == 1.0);
  CHECK(factors.at("m.b2.w").first == 1.0);
  CHECK(factors.at("other").first == 1.0);
  CHECK_THROWS_WITH(layer_decay(groups, {{"c"}}, 0.5, "m."), Contains("none of the names"));
  CHECK_THROWS_WITH(layer_decay(groups, {{"a"}}, 0.0), Contains("the decay (0)"));
  CHECK_THROWS_WITH(layer_decay(groups, {{"a"}}, 1.5), Contains("the decay (1.5)"));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/optim/multiply_learning_rates.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using Names = std::vector<std::string>;

namespace {

/// The kinds of parameters that a CLIP model has, with their names.
struct Part : torch::nn::Module {
  explicit Part(const std::vector<std::pair<std::string, at::IntArrayRef>>& parameters) {
    for (const auto& [name, shape] : parameters) register_parameter(name, torch::ones(shape));
  }
};

std::shared_ptr<Part> model() {
  auto whole = std::make_shared<Part>(std::vector<std::pair<std::string, at::IntArrayRef>>{
      {"logit_scale", {}}, {"logit_bias", {}}});
  auto visual = whole->register_module(
      "visual", std::make_shared<Part>(std::vector<std::pair<std::string, at::IntArrayRef>>{
                    {"class_embedding", {4}}, {"positional_embedding", {5, 4}}, {"proj", {4, 2}}}));
  visual->register_module(
      "attnpool", std::make_shared<Part>(std::vector<std::pair<std::string, at::IntArrayRef>>{
                      {"positional_embedding", {5, 4}}}));
  visual->register_module("ln_pre", torch::nn::LayerNorm(torch::nn::LayerNormOptions({4})));
  auto text = whole->register_module(
      "text", std::make_shared<Part>(std::vector<std::pair<std::string, at::IntArrayRef>>{
                  {"positional_embedding", {7, 4}}}));
  text->register_module("mlp", torch::nn::Linear(4, 4));
  text->register_module("token_embedding", torch::nn::Embedding(9, 4));
  return whole;
}

Names sorted(Names names) {
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("A glob matches whole names", "[optim][cpu]") {
  CHECK(glob_matches("visual.*", "visual.ln_pre.weight"));
  CHECK(glob_matches("*.weight", "visual.ln_pre.weight"));
  CHECK(glob_matches("*ln*", "visual.ln_pre.weight"));
  CHECK(glob_matches("*.?n_pre.*", "visual.ln_pre.weight"));
  CHECK(glob_matches("*", ""));
  CHECK(glob_matches("**a*b*", "xxaxxabb"));
  CHECK_FALSE(glob_matches("visual", "visual.proj"));
  CHECK_FALSE(glob_matches("*.weight", "visual.weight.x"));
  CHECK_FALSE(glob_matches("a?c", "ac"));
  CHECK_FALSE(glob_matches("", "a"));
}

TEST_CASE("Weight decay exempts the parameters that OpenCLIP exempts", "[optim][cpu]") {
  const auto groups = decay_groups(*model(), 0.2);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].name == "decay");
  CHECK(groups[0].weight_decay == 0.2);
  CHECK(sorted(groups[0].parameter_names) == Names{"text.mlp.weight", "text.token_embedding.weight",
                                                   "visual.attnpool.positional_embedding",
                                                   "visual.proj"});
  CHECK(groups[1].name == "no_decay");
  CHECK(groups[1].weight_decay == 0.0);
  CHECK(sorted(groups[1].parameter_names) ==
        Names{"logit_bias", "logit_scale", "text.mlp.bias", "text.positional_embedding",
              "visual.class_embedding", "visual.ln_pre.bias", "visual.ln_pre.weight",
              "visual.positional_embedding"});
}

TEST_CASE("Patterns exempt more parameters from weight decay, and a pattern without a match raises",
          "[optim][cpu]") {
  const auto groups = decay_groups(*model(), 0.2, {"*token_embedding*", "visual.proj"});
  CHECK(sorted(groups[0].parameter_names) ==
        Names{"text.mlp.weight", "visual.attnpool.positional_embedding"});
  CHECK_THROWS_WITH(decay_groups(*model(), 0.2, {"*token_embeding*"}),
                    Contains("\"*token_embeding*\" matches none of 12 parameters"));
}

TEST_CASE("Frozen parameters are left out, and a model without trainable parameters is refused",
          "[optim][cpu]") {
  const auto m = model();
  for (auto& item : m->named_parameters())
    item.value().set_requires_grad(item.key() == "visual.proj");
  const auto groups = decay_groups(*m, 0.2, {"text.mlp.weight"});
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].parameter_names == Names{"visual.proj"});
  for (auto& p : m->parameters()) p.set_requires_grad(false);
  CHECK_THROWS_WITH(decay_groups(*m, 0.2), Contains("none of the 12 parameters"));
}

TEST_CASE("A parameter with two names is optimized once", "[optim][cpu]") {
  const auto shared =
      std::make_shared<Part>(std::vector<std::pair<std::string, at::IntArrayRef>>{});
  const auto weight = torch::ones({2, 2}).requires_grad_(true);
  shared->register_parameter("a", weight);
  shared->register_parameter("b", weight);
  const auto groups = decay_groups(*shared, 0.1);
  CHECK(groups[0].parameter_names == Names{"a"});
}

TEST_CASE("Learning rates are multiplied by name, and the first matching pattern wins",
          "[optim][cpu]") {
  const auto groups = multiply_learning_rates(
      decay_groups(*model(), 0.2), {{"visual.proj", 1.0}, {"visual.*", 0.1}, {"logit_*", 0.0}});
  std::map<std::string, std::pair<double, double>> by_name;
  std::size_t count = 0;
  for (const auto& group : groups)
    for (const auto& name : group.parameter_names) {
      by_name[name] = {group.lr_multiplier, group.weight_decay};
      ++count;
    }
  CHECK(count == 12);
  CHECK(by_name.at("visual.proj") == std::pair(1.0, 0.2));
  CHECK(by_name.at("visual.attnpool.positional_embedding") == std::pair(0.1, 0.2));
  CHECK(by_name.at("visual.ln_pre.weight") == std::pair(0.1, 0.0));
  CHECK(by_name.at("logit_scale") == std::pair(0.0, 0.0));
  CHECK(by_name.at("text.mlp.weight") == std::pair(1.0, 0.2));
  CHECK(groups[0].name == "decay x0.1");

  CHECK_THROWS_WITH(multiply_learning_rates(decay_groups(*model(), 0.2), {{"vision.*", 0.1}}),
                    Contains("\"vision.*\""));
  CHECK_THROWS_WITH(multiply_learning_rates(decay_groups(*model(), 0.2), {{"visual.*", -1.0}}),
                    Contains("(-1)"));
}

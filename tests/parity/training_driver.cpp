// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Runs our training parts for training_parity.py:
//   train SPEC WEIGHTS DATA FINAL CURVE   trains as the JSON SPEC says, on the batches of DATA
//                                         in turn; writes the weights and "loss", "lr", "norm" by
//                                         step
//   groups SPEC WEIGHTS                   names of the decayed parameters
//   layers SPEC WEIGHTS DECAY             factor of the learning rate of each parameter
//   optimize SPEC START GRADIENTS FINAL   steps of the optimizer that the JSON SPEC names: from the
//                                         tensors of START, with their gradients [steps, ...]
//   schedule KIND PEAK FINAL WARMUP COOLDOWN TOTAL POWER   the rate of each step

#include "support/catch.hpp"

#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/sigmoid_loss.hpp"
#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/any_update_rule.hpp"
#include "contrapunto/optim/clip_grad_norm.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/optim/lamb.hpp"
#include "contrapunto/optim/lion.hpp"
#include "contrapunto/optim/muon.hpp"
#include "contrapunto/optim/stable_adamw.hpp"
#include "contrapunto/schedule/warmup_constant.hpp"
#include "contrapunto/schedule/warmup_constant_cooldown.hpp"
#include "contrapunto/schedule/warmup_cosine.hpp"
#include "contrapunto/towers/clip_adamw_options.hpp"
#include "contrapunto/towers/layer_decay.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

using namespace contrapunto;

namespace {

using Strings = std::vector<std::string>;

/// The model of SPEC, with the fields of open_clip's configurations.
ModelConfig config_of(const nlohmann::json& spec) {
  const auto& vision = spec.at("vision_cfg");
  const auto& text = spec.at("text_cfg");
  ModelConfig config;
  config.name = spec.at("family");
  config.embed_dim = spec.at("embed_dim");
  if (vision.at("layers").is_array())
    config.image = ModifiedResNetOptions{.image_size = vision.at("image_size"),
                                         .layers = vision.at("layers"),
                                         .width = vision.at("width"),
                                         .heads = vision.at("width").get<std::int64_t>() * 32 /
                                                  vision.at("head_width").get<std::int64_t>(),
                                         .output_dim = config.embed_dim};
  else
    config.image = VisionTransformerOptions{.image_size = vision.at("image_size"),
                                            .patch_size = vision.at("patch_size"),
                                            .width = vision.at("width"),
                                            .layers = vision.at("layers"),
                                            .heads = vision.at("width").get<std::int64_t>() /
                                                     vision.at("head_width").get<std::int64_t>(),
                                            .output_dim = config.embed_dim};
  config.text = TextTransformerOptions{.context_length = text.at("context_length"),
                                       .vocab_size = text.at("vocab_size"),
                                       .width = text.at("width"),
                                       .heads = text.at("heads"),
                                       .layers = text.at("layers"),
                                       .output_dim = config.embed_dim};
  if (spec.contains("init_logit_bias")) config.initial_logit_bias = spec.at("init_logit_bias");
  return config;
}

DualEncoder model_of(const ModelConfig& config, const std::string& weights) {
  auto model = make_dual_encoder(config);
  load_open_clip_state(model, config, read_safetensors(weights));
  return model;
}

nlohmann::json read_json(const std::string& path) {
  return nlohmann::json::parse(std::ifstream(path));
}

void train(const Strings& arguments) {
  const auto spec = read_json(arguments.at(0));
  const auto config = config_of(spec);
  auto model = model_of(config, arguments.at(1));
  const auto dtype = spec.at("float64") ? torch::kDouble : torch::kFloat;
  model->to(dtype);
  const auto data = read_safetensors(arguments.at(2));
  const auto images = data.at("image").to(dtype), texts = data.at("text");

  const std::int64_t steps = spec.at("steps");
  const WarmupCosine lr(
      {.peak_lr = spec.at("lr"), .warmup_steps = spec.at("warmup"), .total_steps = steps});
  AdamW optimizer(decay_groups(*model, spec.at("weight_decay")), clip_adamw_options(config));
  const auto parameters = optimizer.parameters();
  const bool sigmoid = config.initial_logit_bias.has_value();
  const auto curve = torch::zeros({3, steps}, torch::kDouble);
  model->train();
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto batch = step % images.size(0);
    optimizer.zero_grad();
    const auto e = model->forward(images[batch], texts[batch]);
    const auto loss = sigmoid ? SigmoidLoss{}(e) : InfoNce{}(e);
    loss.backward();
    curve[0][step] = loss.item<double>();
    curve[1][step] = lr(step);
    curve[2][step] = clip_grad_norm_(parameters, spec.at("clip")).item<double>();
    optimizer.step(lr(step));
    model->clamp_logit_scale_();
  }
  write_safetensors(arguments.at(3), open_clip_state(model, config));
  write_safetensors(arguments.at(4), {{"loss", curve[0]}, {"lr", curve[1]}, {"norm", curve[2]}});
}

void groups(const Strings& arguments) {
  const auto config = config_of(read_json(arguments.at(0)));
  const auto model = model_of(config, arguments.at(1));
  const auto tensors = contrapunto::detail::open_clip_tensors(model, config.custom_text);
  for (const auto& group : decay_groups(*model, 0.1))
    for (const auto& parameter : group.parameters)
      for (const auto& item : tensors)
        if (group.weight_decay > 0.0 && item.tensor.is_same(parameter))
          std::cout << item.name << "\n";
}

void layers(const Strings& arguments) {
  const auto model = model_of(config_of(read_json(arguments.at(0))), arguments.at(1));
  for (const auto& group :
       layer_decay(decay_groups(*model, 0.1), model, std::stod(arguments.at(2))))
    for (const auto& name : group.parameter_names)
      std::cout << name << " " << std::setprecision(17) << group.lr_multiplier << "\n";
}

AnyUpdateRule rule_of(const nlohmann::json& spec) {
  const double beta1 = spec.at("beta1"), beta2 = spec.at("beta2"), eps = spec.at("eps");
  const std::string name = spec.at("rule");
  if (name == "adamw") return AdamWRule{beta1, beta2, eps};
  if (name == "stable-adamw") return StableAdamWRule{beta1, beta2, eps};
  if (name == "lamb") return LambRule{.beta1 = beta1, .beta2 = beta2, .eps = eps};
  if (name == "lion") return LionRule{beta1, beta2};
  TORCH_CHECK(name == "muon", "unknown rule ", name);
  return MuonRule{.momentum = beta1,
                  .scale = spec.at("original") ? MuonScale::kOriginal : MuonScale::kMatchAdamW,
                  .product_dtype = spec.at("exact") ? at::kDouble : at::kBFloat16};
}

void optimize(const Strings& arguments) {
  const auto spec = read_json(arguments.at(0));
  const auto start = read_safetensors(arguments.at(1)),
             gradients = read_safetensors(arguments.at(2));
  ParameterGroup decay{.name = "decay", .weight_decay = spec.at("weight_decay")};
  ParameterGroup plain{.name = "plain"};
  for (const auto& [name, tensor] : start) {
    auto& group = tensor.dim() > 1 ? decay : plain;
    group.parameters.push_back(tensor.clone().requires_grad_());
    group.parameter_names.push_back(name);
  }
  Optimizer optimizer({decay, plain}, rule_of(spec));
  for (std::int64_t step = 0; step < spec.at("steps"); ++step) {
    for (const auto& group : {decay, plain})
      for (std::size_t i = 0; i < group.parameters.size(); ++i)
        group.parameters[i].mutable_grad() = gradients.at(group.parameter_names[i])[step].clone();
    if (spec.at("clip") > 0) clip_grad_norm_(optimizer.parameters(), spec.at("clip"));
    optimizer.step(spec.at("lr"));
  }
  TensorMap final;
  for (const auto& group : {decay, plain})
    for (std::size_t i = 0; i < group.parameters.size(); ++i)
      final[group.parameter_names[i]] = group.parameters[i].detach();
  write_safetensors(arguments.at(3), final);
}

void schedule(const Strings& arguments) {
  const auto number = [&](std::size_t i) { return std::stod(arguments.at(i)); };
  const auto steps = [&](std::size_t i) { return std::stoll(arguments.at(i)); };
  const auto& kind = arguments.at(0);
  std::function<double(std::int64_t)> lr;
  if (kind == "cosine")
    lr = WarmupCosine({.peak_lr = number(1), .warmup_steps = steps(3), .total_steps = steps(5)});
  else if (kind == "const")
    lr = WarmupConstant({.peak_lr = number(1), .warmup_steps = steps(3)});
  else
    lr = WarmupConstantCooldown({.peak_lr = number(1),
                                 .final_lr = number(2),
                                 .warmup_steps = steps(3),
                                 .cooldown_steps = steps(4),
                                 .total_steps = steps(5),
                                 .power = number(6)});
  std::cout << std::setprecision(17);
  for (std::int64_t step = 0; step < steps(5); ++step) std::cout << lr(step) << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  const Strings arguments(argv + 1, argv + argc);
  const auto& verb = arguments.at(0);
  const Strings rest(arguments.begin() + 1, arguments.end());
  if (verb == "train") {
    train(rest);
  } else if (verb == "groups") {
    groups(rest);
  } else if (verb == "layers") {
    layers(rest);
  } else if (verb == "optimize") {
    optimize(rest);
  } else if (verb == "schedule") {
    schedule(rest);
  } else {
    TORCH_CHECK(false, "unknown verb ", verb);
  }
  return 0;
}

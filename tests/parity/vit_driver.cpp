// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Runs our image towers for vit_parity.py:
//   run MODEL WEIGHTS INPUTS OUT   features of "image" in evaluation mode, the gradients of
//                                  <features, "dx"> under timm's names, and "image.gradient"
//   roundtrip MODEL WEIGHTS OUT    timm's weights through our tower and back
//   window SIDE SHIFTED WEIGHTS INPUTS OUT   one attention of Swin on "x" [B, rows, columns, width]
//   names                          the image models that there are
#include <iostream>
#include <string>
#include <vector>

#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "contrapunto/towers/timm_state.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

void run(AnyTower tower, const TensorMap& inputs, const std::string& out) {
  const auto image = inputs.at("image").clone().requires_grad_();
  tower->eval();
  const auto features = tower(image);
  (features * inputs.at("dx")).sum().backward();
  TensorMap result{{"features", features.detach()}, {"image.gradient", image.grad()}};
  // timm keeps one tensor of rotary frequencies, so the gradients are moved as the weights are.
  for (auto& parameter : tower->parameters()) parameter.set_data(parameter.grad());
  for (auto& [name, gradient] : timm_state(tower)) result.emplace(name, gradient);
  write_safetensors(out, result);
}

void run_window(std::int64_t side, bool shifted, const TensorMap& weights, const TensorMap& inputs,
                const std::string& out) {
  const auto x = inputs.at("x").clone().requires_grad_();
  const auto rows = x.size(1), columns = x.size(2), width = x.size(3);
  const auto& table = weights.at("relative_position_bias_table");
  Attention attention(AttentionOptions{
      .width = width,
      .heads = table.size(1),
      .kind = {AttentionPattern::kWindow, side, shifted},
      .relative_bias = {.kind = RelativeBiasKind::kTable, .rows = rows, .columns = columns}});
  {
    const at::NoGradGuard no_grad;
    attention->in_proj_weight.copy_(weights.at("qkv.weight"));
    attention->in_proj_bias.copy_(weights.at("qkv.bias"));
    attention->out_proj->weight.copy_(weights.at("proj.weight"));
    attention->out_proj->bias.copy_(weights.at("proj.bias"));
    attention->relative_bias->table.copy_(table);
  }
  const auto y = attention(x.flatten(0, 2), TokenGrid{x.size(0), rows, columns}).view(x.sizes());
  (y * inputs.at("dy")).sum().backward();
  write_safetensors(out,
                    {{"y", y.detach()},
                     {"x", x.grad()},
                     {"qkv.weight", attention->in_proj_weight.grad()},
                     {"relative_position_bias_table", attention->relative_bias->table.grad()}});
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto& verb = arguments.at(0);
  if (verb == "names") {
    for (const auto& name : model_names())
      if (model_config(name).image_only) std::cout << name << "\n";
    return 0;
  }
  if (verb == "window") {
    run_window(std::stoll(arguments.at(1)), arguments.at(2) == "1",
               read_safetensors(arguments.at(3)), read_safetensors(arguments.at(4)),
               arguments.at(5));
    return 0;
  }
  auto config = model_config(arguments.at(1));
  const auto weights = read_safetensors(arguments.at(2));
  auto& image = std::get<VisionTransformerOptions>(config.image);
  if (verb == "run") {
    const auto inputs = read_safetensors(arguments.at(3));
    image.image_size = inputs.at("image").size(2);
    image.layers = inputs.at("layers").item<std::int64_t>();
    auto tower = make_image_tower(config);
    load_timm_state(tower, weights, config.name);
    run(tower, inputs, arguments.at(4));
  } else if (verb == "roundtrip") {
    auto tower = make_image_tower(config);
    load_timm_state(tower, weights, config.name);
    write_safetensors(arguments.at(3), timm_state(tower));
  } else {
    TORCH_CHECK(false, "unknown verb ", verb);
  }
  return 0;
}

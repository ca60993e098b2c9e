// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Runs our towers for towers_parity.py:
//   run MODEL WEIGHTS INPUTS OUT      features of "image" and "text" in evaluation mode; and where
//                                     INPUTS holds "dx" and "dy", in training mode and float64 if
//                                     "dx" is, the gradients of <x, dx> + <y, dy>
//   initialize MODEL SEED OUT         fresh weights
//   locked MODEL IMAGE_GROUPS TEXT_LAYERS   names of the parameters that stay trainable

#include "support/catch.hpp"

#include <iostream>
#include <string>
#include <vector>

#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/towers/lock_towers.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

using namespace contrapunto;

namespace {

void run(const ModelConfig& config, const std::vector<std::string>& arguments) {
  auto model = make_dual_encoder(config);
  load_open_clip_state(model, config, read_safetensors(arguments.at(0)));
  const auto inputs = read_safetensors(arguments.at(1));
  TensorMap out;
  {
    const at::NoGradGuard no_grad;
    model->eval();
    out.emplace("features.x", model->encode_image(inputs.at("image")));
    out.emplace("features.y", model->encode_text(inputs.at("text")));
  }
  if (inputs.contains("dx")) {
    const auto dtype = inputs.at("dx").scalar_type();
    model->train();
    model->to(dtype);
    const auto e = model->forward(inputs.at("image").to(dtype), inputs.at("text"));
    ((e.x * inputs.at("dx")).sum() + (e.y * inputs.at("dy")).sum()).backward();
    for (const auto& item : contrapunto::detail::open_clip_tensors(model, config.custom_text)) {
      if (!item.tensor.requires_grad() || !item.tensor.grad().defined()) continue;
      const auto gradient = item.tensor.grad().to(at::kFloat);
      out.emplace(item.name, contrapunto::detail::with_timm_dimensions(item.name, gradient));
    }
  }
  write_safetensors(arguments.at(2), out);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto& verb = arguments.at(0);
  const auto config = model_config(arguments.at(1));
  const std::vector<std::string> rest(arguments.begin() + 2, arguments.end());
  if (verb == "run") {
    run(config, rest);
  } else if (verb == "initialize") {
    torch::manual_seed(std::stoull(rest.at(0)));
    auto model = make_dual_encoder(config);
    write_safetensors(rest.at(1), open_clip_state(model, config));
  } else if (verb == "locked") {
    auto model = make_dual_encoder(config, at::device(at::kMeta));
    lock_image_tower(model, std::stoll(rest.at(0)));
    lock_text_tower(model, std::stoll(rest.at(1)));
    for (const auto& item : contrapunto::detail::open_clip_tensors(model, config.custom_text))
      if (item.tensor.requires_grad()) std::cout << item.name << "\n";
  } else {
    TORCH_CHECK(false, "unknown verb ", verb);
  }
  return 0;
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/autocast_mode.h>

#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/sigmoid_loss.hpp"
#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/precision/apply_precision.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

const char* any_policy() {
  return GENERATE("fp32", "tf32", "bf16", "fp16", "pure_bf16");
}

/// The dtype in which a tower's activations reach a norm under a policy.
at::ScalarType activation_dtype(const PrecisionPolicy& policy) {
  return policy.autocast_dtype.value_or(policy.weight_dtype);
}

/// A user's own norm, which declares that it stays in float32.
struct RootMeanSquareImpl : torch::nn::Module, KeepsFloat32 {
  RootMeanSquareImpl() { weight = register_parameter("weight", torch::ones({4})); }
  at::Tensor weight;
};
TORCH_MODULE(RootMeanSquare);

/// A module with a norm's name that declares nothing.
struct NormalizerImpl : torch::nn::Module {
  NormalizerImpl() { weight = register_parameter("weight", torch::ones({4})); }
  at::Tensor weight;
};
TORCH_MODULE(Normalizer);

/// A norm of each kind, a linear layer, an embedding and a log-scale.
struct Model : torch::nn::Module {
  Model() {
    torch::manual_seed(3);
    linear = register_module("linear", torch::nn::Linear(2, 3));
    embedding = register_module("embedding", torch::nn::Embedding(5, 2));
    layer_norm = register_module("layer_norm", LayerNorm(4));
    batch_norm = register_module("batch_norm", BatchNorm(2));
    torch_norm = register_module("torch_norm", torch::nn::BatchNorm2d(2));
    torch_layer_norm =
        register_module("torch_layer_norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({4})));
    group_norm = register_module("group_norm", torch::nn::GroupNorm(2, 4));
    own_norm = register_module("own_norm", RootMeanSquare());
    normalizer = register_module("normalizer", Normalizer());
    logit_scale = register_parameter("logit_scale", torch::tensor(2.66F));
    positions = register_parameter("positions", torch::ones({3, 2}));
    mask = register_buffer("mask", torch::zeros({3, 3}));
    order = register_buffer("order", torch::arange(3));
  }
  torch::nn::Linear linear = nullptr;
  torch::nn::Embedding embedding = nullptr;
  LayerNorm layer_norm = nullptr;
  BatchNorm batch_norm = nullptr;
  torch::nn::BatchNorm2d torch_norm = nullptr;
  torch::nn::LayerNorm torch_layer_norm = nullptr;
  torch::nn::GroupNorm group_norm = nullptr;
  RootMeanSquare own_norm = nullptr;
  Normalizer normalizer = nullptr;
  at::Tensor logit_scale, positions, mask, order;
};

}  // namespace

TEST_CASE("An unknown precision policy raises and lists the known ones", "[precision][cpu]") {
  CHECK_THROWS_WITH(precision_policy("amp"),
                    Contains("\"amp\"") && Contains("fp32, tf32, bf16, fp16, pure_bf16"));
  const std::string name = any_policy();
  CHECK(precision_policy(name).name == name);
  CHECK(precision_policy(name).loss_scaler == (name == "fp16"));
}

TEST_CASE("Only pure_bf16 casts weights, and not those of norms and scalars", "[precision][cpu]") {
  const auto policy = precision_policy(any_policy());
  Model model;
  const auto scale = model.logit_scale.clone();
  (model.linear->weight.sum() + model.logit_scale).backward();
  apply_precision_(model, policy);
  const auto weights = policy.name == "pure_bf16" ? torch::kBFloat16 : torch::kFloat;
  for (const auto& tensor : {model.linear->weight, model.linear->bias, model.embedding->weight,
                             model.positions, model.mask, model.normalizer->weight})
    CHECK(tensor.scalar_type() == weights);
  for (const auto& tensor :
       {model.layer_norm->weight, model.layer_norm->bias, model.batch_norm->weight,
        model.batch_norm->running_var, model.torch_norm->weight, model.torch_norm->running_mean,
        model.torch_layer_norm->weight, model.group_norm->bias, model.own_norm->weight,
        model.logit_scale})
    CHECK(tensor.scalar_type() == torch::kFloat);
  CHECK(model.order.scalar_type() == torch::kLong);
  CHECK(model.batch_norm->num_batches_tracked.scalar_type() == torch::kLong);
  CHECK(torch::equal(model.logit_scale, scale));
  CHECK(model.linear->weight.requires_grad());
  CHECK(model.linear->weight.grad().defined() == (policy.name != "pure_bf16"));
}

TEST_CASE("A precision policy turns TF32 on and off", "[precision][cpu]") {
  Model model;
  const auto allowed = [&](const char* name) {
    apply_precision_(model, precision_policy(name));
    const auto& context = at::globalContext();
    CHECK(context.allowTF32CuBLAS() == context.allowTF32CuDNN());
    return context.allowTF32CuBLAS();
  };
  CHECK(allowed("tf32"));
  CHECK_FALSE(allowed("fp32"));
  CHECK(allowed("bf16"));
  CHECK_FALSE(allowed("fp32"));
}

TEST_CASE("TF32 is set where LibTorch has only the newer switch", "[precision][cpu]") {
  auto& context = at::globalContext();
  const auto precision = [&] {
    return context.float32Precision(at::Float32Backend::CUDA, at::Float32Op::CONV);
  };
  contrapunto::detail::set_float32_precision(context, &at::Context::setFloat32Precision, true);
  CHECK(precision() == at::Float32Precision::TF32);
  contrapunto::detail::set_tf32(false);
  CHECK(precision() != at::Float32Precision::TF32);
}

TEST_CASE("Batch norm computes its statistics in float32 under every policy", "[precision][cpu]") {
  const auto policy = precision_policy(any_policy());
  Model model;
  apply_precision_(model, policy);
  // Half of the values are 256 and half 258: mean 257 and variance 1. bf16 has no number between
  // the two, and a sum of 2,048 of them in fp16 or bf16 is far off or infinite.
  const auto x = (256 + 2 * (torch::arange(2 * 2 * 16 * 32) % 2))
                     .view({2, 2, 16, 32})
                     .to(activation_dtype(policy));
  at::Tensor y, torch_y;
  {
    const AutocastGuard autocast(policy, at::kCPU);
    y = model.batch_norm(x);
    torch_y = model.torch_norm(x);
  }
  for (const auto& [mean, variance] :
       {std::pair(model.batch_norm->running_mean, model.batch_norm->running_var),
        std::pair(model.torch_norm->running_mean, model.torch_norm->running_var)}) {
    CHECK(mean[0].item<double>() == Approx(25.7).epsilon(1e-6));
    CHECK(variance[1].item<double>() == Approx(0.9 + 0.1 * 1024 / 1023).epsilon(1e-6));
  }
  const auto expected = (x.to(torch::kDouble) - 257) / std::sqrt(1.0 + 1e-5);
  CHECK(test::relative_error(y, expected) < 1e-4);
  CHECK(test::relative_error(torch_y, expected) < 1e-4);
}

TEST_CASE("Layer norm computes its statistics in float32 under every policy", "[precision][cpu]") {
  const auto policy = precision_policy(any_policy());
  auto norm = LayerNorm(1024);
  apply_precision_(*norm, policy);
  const auto x =
      (256 + 2 * (torch::arange(2 * 1024) % 2)).view({2, 1024}).to(activation_dtype(policy));
  const AutocastGuard autocast(policy, at::kCPU);
  const auto y = norm(x);
  CHECK(y.scalar_type() == x.scalar_type());
  CHECK(test::close(y, (x.to(torch::kDouble) - 257) / std::sqrt(1.0 + 1e-5), 4));
}

TEST_CASE("Logits and losses are float32 under every policy", "[precision][cpu]") {
  const auto policy = precision_policy(any_policy());
  torch::manual_seed(4);
  const auto unit = [](at::Tensor t) { return t / t.norm(2, {1}, true); };
  const Embeddings e{unit(torch::randn({48, 16})), unit(torch::randn({48, 16})),
                     torch::tensor(100.0F), torch::tensor(-10.0F)};
  const auto info_nce = InfoNce{}(e), sigmoid = SigmoidLoss{}(e);
  const at::Tensor logits = e.scale * e.x.mm(e.y.t());
  // The error that bf16 logits would have: it is too large to pass the checks below.
  const auto rounded =
      at::cross_entropy_loss(logits.to(torch::kBFloat16).to(torch::kFloat), torch::arange(48));
  REQUIRE(std::abs((rounded - at::cross_entropy_loss(logits, torch::arange(48))).item<double>()) >
          1e-3);
  const AutocastGuard autocast(policy, at::kCPU);
  CHECK(torch::equal(InfoNce{}(e), info_nce));
  CHECK(torch::equal(SigmoidLoss{}(e), sigmoid));
  CHECK(InfoNce{}(e).scalar_type() == torch::kFloat);
}

TEST_CASE("A policy reports the bytes of weights, gradients and activations", "[precision][cpu]") {
  const auto facts = [](const char* name) { return precision_policy(name).facts(); };
  CHECK(facts("fp32").weight_bytes == 4);
  CHECK(facts("fp32").gradient_bytes == 4);
  CHECK(facts("tf32").activation_bytes == 4);
  CHECK(facts("tf32").name == "tf32");
  CHECK(facts("bf16").weight_bytes == 4 + 2);  // and the copies that autocast makes
  CHECK(facts("bf16").gradient_bytes == 4);
  CHECK(facts("fp16").activation_bytes == 2);
  CHECK(facts("pure_bf16").weight_bytes == 2);
  CHECK(facts("pure_bf16").gradient_bytes == 2);
  CHECK(facts("pure_bf16").activation_bytes == 2);
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Runs our losses over ranks and GradCache for large_batch_parity.py:
//   ranks DATA FOLDER     on each rank: our share of every loss over its part of the pairs "x", "y"
//                         with "scale" and "bias", and what it sends back, as FOLDER/FORM.RANK
//   cached DATA OUT CHUNK SCALE   one GradCache step of the bag-of-words encoder whose weights are
//                         DATA's "model.*", the loss scaled by SCALE; writes "loss" and gradients

#include "support/catch.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/distributed/process_group.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "contrapunto/step/grad_cache.hpp"

using namespace contrapunto;

namespace {

using Strings = std::vector<std::string>;

void ranks(const Strings& arguments) {
  const auto launch = read_launch_environment(::getenv);
  const ProcessGroupOptions options{.timeout = std::chrono::minutes(1),
                                    .gloo_address = "127.0.0.1"};
  const auto group =
      connect_gloo(open_tcp_store(launch, options.timeout), launch.rank, launch.size, options);
  const auto data = read_safetensors(arguments.at(0));
  const auto part = [&](const char* name) {
    return data.at(name).chunk(launch.size)[static_cast<std::size_t>(launch.rank)].clone();
  };
  const auto report = [&](const std::string& form, const auto& loss_of) {
    Embeddings e{part("x").requires_grad_(), part("y").requires_grad_(),
                 data.at("scale").clone().requires_grad_(),
                 data.at("bias").clone().requires_grad_()};
    const auto loss = loss_of(e);
    loss.backward();
    TensorMap result{
        {"loss", loss.detach()}, {"x", e.x.grad()}, {"y", e.y.grad()}, {"scale", e.scale.grad()}};
    if (e.bias->grad().defined()) result.emplace("bias", e.bias->grad());
    write_safetensors(arguments.at(1) + "/" + form + "." + std::to_string(launch.rank), result);
  };
  // Tiles that do not divide the pairs of a rank.
  const TileOptions tiles{.rows = 7, .columns = 5};
  for (const bool ring : {false, true}) {
    const std::string way = ring ? "ring" : "gather";
    report("InfoNce_" + way,
           TiledInfoNce(TiledInfoNceOptions{.tiles = tiles, .ring = ring}, group));
    report("Sigmoid_" + way,
           TiledSigmoidLoss(TiledSigmoidLossOptions{.tiles = tiles, .ring = ring}, group));
  }
  group.barrier();  // rank 0 hosts the store
}

/// Mean of word vectors, without the padding 0, and two layers.
struct BagEncoderImpl : torch::nn::Module {
  explicit BagEncoderImpl(const TensorMap& weights) {
    const auto& words = weights.at("model.bag.weight");
    const auto& in = weights.at("model.hidden.weight");
    const auto& top = weights.at("model.out.weight");
    bag = register_module(
        "bag", torch::nn::EmbeddingBag(torch::nn::EmbeddingBagOptions(words.size(0), words.size(1))
                                           .mode(torch::kMean)
                                           .padding_idx(0)));
    hidden = register_module("hidden", torch::nn::Linear(in.size(1), in.size(0)));
    out = register_module("out", torch::nn::Linear(top.size(1), top.size(0)));
    to(words.scalar_type());
    const torch::NoGradGuard no_grad;
    for (auto& item : named_parameters()) item.value().copy_(weights.at("model." + item.key()));
  }
  at::Tensor forward(const at::Tensor& tokens) { return out(hidden(bag(tokens)).tanh()); }

  torch::nn::EmbeddingBag bag{nullptr};
  torch::nn::Linear hidden{nullptr}, out{nullptr};
};
TORCH_MODULE(BagEncoder);

void cached(const Strings& arguments) {
  const auto data = read_safetensors(arguments.at(0));
  const double loss_scale = std::stod(arguments.at(3));
  BagEncoder encoder(data);
  const auto encode = [encoder](const at::Tensor& tokens) mutable -> Features {
    return encoder(tokens);
  };
  const auto unit = [](const Features& features) {
    return torch::nn::functional::normalize(features.tensors.front());
  };
  StepModel<> model;
  for (const char* input : {"anchor", "positive", "negatives"})
    model.encoders.push_back({input, encode});
  model.head = [&](const std::vector<Features>& features, const Batch&) {
    const auto x = unit(features[0]);
    return Embeddings{.x = x,
                      .y = unit(features[1]),
                      .scale = torch::tensor(20.0),
                      .negatives = unit(features[2])};
  };
  model.parameters = encoder->parameters();
  const LossScaler scaler(PrecisionPolicy{.loss_scaler = true}, torch::kCPU,
                          {.initial_scale = loss_scale});
  GradCache<TiledInfoNce> step(std::move(model), TiledInfoNce({.symmetric = false}),
                               {.chunk_size = std::stoll(arguments.at(2))}, {.scaler = &scaler});
  const auto terms = step(Batch{{{"anchor", data.at("anchor")},
                                 {"positive", data.at("positive")},
                                 {"negatives", data.at("negatives")}},
                                {}});
  TensorMap result{{"loss", terms.total}};
  for (const auto& item : encoder->named_parameters())
    result.emplace(item.key(), item.value().grad());
  write_safetensors(arguments.at(1), result);
}

}  // namespace

int main(int argc, char** argv) {
  const Strings arguments(argv + 1, argv + argc);
  const auto& verb = arguments.at(0);
  const Strings rest(arguments.begin() + 1, arguments.end());
  if (verb == "ranks") {
    ranks(rest);
  } else if (verb == "cached") {
    cached(rest);
  } else {
    TORCH_CHECK(false, "unknown verb ", verb);
  }
  return 0;
}

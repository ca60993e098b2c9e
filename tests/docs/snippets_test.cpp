// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// The snippets of docs/extending.md, compiled and run; scripts/check_snippets.py compares the
// texts.
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>

#include "contrapunto/contrapunto.hpp"
#include "support/catch.hpp"

namespace cp = contrapunto;

// snippet: tower
struct MeanTowerImpl : torch::nn::Module {
  MeanTowerImpl() { project = register_module("project", torch::nn::Linear(3, 16)); }
  at::Tensor forward(const at::Tensor& images) {
    return project(images.mean({2, 3}));
  }  // [B,3,H,W] -> [B,16]
  torch::nn::Linear project{nullptr};
};
TORCH_MODULE(MeanTower);

struct BagOfTokensImpl : torch::nn::Module {
  BagOfTokensImpl() { embed = register_module("embed", torch::nn::Embedding(300, 16)); }
  at::Tensor forward(const at::Tensor& tokens) { return embed(tokens).mean(1); }  // [B,L] -> [B,16]
  torch::nn::Embedding embed{nullptr};
};
TORCH_MODULE(BagOfTokens);
// snippet end

TEST_CASE("A user's towers train in a DualEncoder", "[docs][cpu]") {
  // snippet: dual encoder
  cp::DualEncoder model{MeanTower(), BagOfTokens()};
  const cp::Embeddings e = model(torch::rand({8, 3, 32, 32}), torch::randint(300, {8, 5}));
  cp::InfoNce{}(e).backward();
  // snippet end
  REQUIRE(e.x.sizes() == at::IntArrayRef{8, 16});
  REQUIRE(model->named_parameters()["visual.project.weight"].grad().abs().sum().item<double>() >
          0.0);
}

// snippet: loss
/// Contrastive loss of the rows alone: each image must find its text.
struct ImageToText {
  at::Tensor operator()(const cp::Embeddings& e) const {
    const auto logits = e.scale * e.x.mm(e.y.t());  // [B, B]
    return at::cross_entropy_loss(logits, at::arange(e.x.size(0), e.x.options().dtype(at::kLong)));
  }
};
static_assert(cp::ContrastiveLoss<ImageToText>);
// snippet end

TEST_CASE("A user's loss is one half of InfoNCE", "[docs][cpu]") {
  const auto rows = [] { return torch::nn::functional::normalize(torch::randn({6, 4})); };
  const cp::Embeddings e{rows(), rows(), torch::tensor(10.0), {}};
  const cp::Embeddings swapped{e.y, e.x, e.scale, {}};
  const double half = (ImageToText{}(e) + ImageToText{}(swapped)).item<double>() / 2;
  REQUIRE(half == Approx(cp::InfoNce{}(e).item<double>()).epsilon(1e-6));
}

// snippet: schedule
struct InverseSquareRoot {
  double peak_lr = 5e-4;
  double operator()(std::int64_t step) const {
    return peak_lr / std::sqrt(static_cast<double>(step + 1));
  }
};
static_assert(cp::Schedule<InverseSquareRoot>);
// snippet end

TEST_CASE("A user's schedule is a function of the step", "[docs][cpu]") {
  REQUIRE(InverseSquareRoot{.peak_lr = 1.0}(3) == 0.5);
}

// snippet: source
/// Solid colours: sample i is grey level i.
class GreyLevels : public cp::SampleSource {
 public:
  std::int64_t size() const override { return 256; }
  cp::EncodedSample read(std::int64_t index) const override {
    cp::RgbImage image(8, 8);
    std::fill_n(image.row(0), 8 * 8 * 3, static_cast<std::uint8_t>(index));
    cp::EncodedSample sample;
    sample.key = "grey-" + std::to_string(index);
    sample.image = cp::encode_ppm(image);
    sample.captions = {"grey level " + std::to_string(index)};
    return sample;
  }
};
// snippet end

TEST_CASE("A user's source feeds the loader", "[docs][cpu]") {
  // snippet: loader
  const cp::ByteTokenizer bytes({.context_length = 32});
  cp::DataLoader loader(std::make_shared<GreyLevels>(), cp::ImageTransform({.image_size = 8}),
                        [&](std::string_view text) { return bytes.encode_with_specials(text); },
                        {.batch_size = 64, .threads = 2, .train = false});
  loader.start_epoch(0);
  std::int64_t samples = 0;
  while (const auto batch = loader.next()) samples += batch->size();
  // snippet end
  REQUIRE(samples == 256);
}

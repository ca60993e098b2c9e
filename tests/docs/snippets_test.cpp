// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Snippets of README.md and the guides, and extensions as a user writes them, compiled and run.
// scripts/check_snippets.py compares the texts; the other snippets are in examples/components.
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "contrapunto/contrapunto.hpp"
#include "support/catch.hpp"

namespace cp = contrapunto;

namespace {

/// Hands out `left` batches.
struct FewBatches {
  std::optional<cp::Batch> next() {
    if (left-- == 0) return std::nullopt;
    cp::Batch batch;
    batch.tensors = {{"image", torch::randint(256, {5, 3, 224, 224}, torch::kByte)},
                     {"text", torch::randint(1, 49408, {5, 77})}};
    return batch;
  }
  int left = 2;
};

}  // namespace

TEST_CASE("The trainer of the README trains", "[docs][cpu]") {
  FewBatches loader;
  std::int64_t step = 0;
  const torch::Device device = torch::kCPU;
  // snippet: trainer
  const auto config = cp::model_config("ViT-B-32");
  cp::DualEncoder model = cp::make_dual_encoder(config);
  cp::AdamW optimizer(cp::decay_groups(*model, /*weight_decay=*/0.2),
                      cp::clip_adamw_options(config));
  const cp::WarmupCosine schedule({.peak_lr = 5e-4, .warmup_steps = 500, .total_steps = 20'000});
  const auto to_images = [&](const at::Tensor& bytes) {  // uint8 to the tower's input
    return cp::normalize_images(bytes, config.image_mean, config.image_std);
  };
  const cp::StepContext context{.precision = cp::precision_policy("bf16"), .device = device};
  cp::FullBatch compute_gradients(cp::pair_step_model(model, device, {.prepare_x = to_images}),
                                  cp::TiledInfoNce(), context);

  while (const auto batch = loader.next()) {
    optimizer.zero_grad();
    const cp::LossTerms terms = compute_gradients(*batch);
    cp::clip_grad_norm_(model->parameters(), 1.0);
    optimizer.step(schedule(step++));
    model->clamp_logit_scale_();
  }
  // snippet end
  REQUIRE(step == 2);
}

TEST_CASE("The optimizers of the guide take a step", "[docs][cpu]") {
  torch::nn::Linear model(4, 4);
  const cp::Ranks ranks;
  // snippet: optimizers
  const auto groups = cp::decay_groups(*model, /*weight_decay=*/0.5);
  cp::Lion optimizer(groups, {.beta2 = 0.98});
  cp::ShardedOptimizer sharded(groups, ranks, cp::MuonRule{.scale = cp::MuonScale::kOriginal});
  // snippet end
  const auto before = model->weight.detach().clone();
  model->forward(torch::ones({2, 4})).square().sum().backward();
  optimizer.step(1e-3);
  const auto between = model->weight.detach().clone();
  sharded.step(1e-3);
  REQUIRE_FALSE(torch::equal(between, before));
  REQUIRE_FALSE(torch::equal(model->weight.detach(), between));
}

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

TEST_CASE("A user's towers train in a DualEncoder", "[docs][cpu]") {
  cp::DualEncoder model{MeanTower(), BagOfTokens()};
  const cp::Embeddings e = model(torch::rand({8, 3, 32, 32}), torch::randint(300, {8, 5}));
  cp::InfoNce{}(e).backward();
  REQUIRE(e.x.sizes() == at::IntArrayRef{8, 16});
  REQUIRE(model->named_parameters()["visual.project.weight"].grad().abs().sum().item<double>() >
          0.0);
}

// snippet: tower members
/// A tower with all optional members; each of them is found where it is present.
struct LayeredTowerImpl : torch::nn::Module {
  LayeredTowerImpl() {
    stem = register_module("stem", torch::nn::Linear(3, 16));
    block = register_module("block", torch::nn::Linear(16, 16));
    head = register_module("head", torch::nn::Linear(16, 16));
  }
  at::Tensor forward(const at::Tensor& images) {
    const auto run = [this](const at::Tensor& x) { return block(x).relu(); };
    const auto x = stem(images.mean({2, 3}));
    return head(checkpoint ? cp::activation_checkpoint(run, x, block->parameters()) : run(x));
  }
  cp::ForwardCost cost(std::int64_t /*tokens*/) const {
    return {.macs = 16 * (3 + 16 + 16), .kept_elements = 4 * 16};  // for one sample
  }
  cp::LockGroups lock_groups() const { return {{"stem"}, {"block"}, {"head"}}; }
  void checkpoint_activations(bool on) { checkpoint = on; }
  std::string open_clip_name(const std::string& name) const {
    return name.starts_with("head.") ? "fc." + name.substr(5) : name;
  }
  torch::nn::Linear stem{nullptr}, block{nullptr}, head{nullptr};
  bool checkpoint = false;
};
TORCH_MODULE(LayeredTower);
// snippet end

// snippet: attention
/// Every token becomes the mean of its sequence, mapped by one matrix.
struct MeanAttentionImpl : torch::nn::Module {
  explicit MeanAttentionImpl(std::int64_t width) {
    out = register_module("out", torch::nn::Linear(width, width));
  }
  at::Tensor forward(const at::Tensor& x, const cp::TokenGrid& grid) {
    const auto tokens = x.view({grid.batch, grid.length(), x.size(1)});
    return out(tokens.mean(1, /*keepdim=*/true).expand_as(tokens).flatten(0, 1));
  }
  torch::nn::Linear out{nullptr};
};
TORCH_MODULE(MeanAttention);
// snippet end

/// Sets half of the rows of a matrix to zero.
struct RowMaskImpl : torch::nn::Module {
  explicit RowMaskImpl(const at::Tensor& weight) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(weight.dim()), 1);
    shape[0] = weight.size(0);
    mask = register_buffer("mask", at::ones(shape, weight.options()));
    mask.narrow(0, 0, weight.size(0) / 2).zero_();
  }
  at::Tensor forward(const at::Tensor& weight) { return weight * mask; }
  at::Tensor mask;
};
TORCH_MODULE(RowMask);

TEST_CASE("The optional members of a user's tower are found", "[docs][cpu]") {
  cp::DualEncoder model{LayeredTower(), LayeredTower()};
  cp::lock_image_tower(model, /*unlocked_groups=*/1);
  cp::checkpoint_activations(*model);
  REQUIRE(cp::forward_gflops(model).total() == Approx(2 * 2e-9 * 560));
  REQUIRE(cp::open_clip_state(model, /*custom_text=*/true).count("visual.fc.bias") == 1);
}

TEST_CASE("A user's attention and a mask on every weight", "[docs][cpu]") {
  cp::VisionTransformerOptions options{
      .image_size = 32, .patch_size = 8, .width = 16, .layers = 4, .heads = 2};
  options.parts.attention = [](std::int64_t layer, const cp::AttentionOptions& usual,
                               const at::TensorOptions&) -> cp::AnyAttention {
    if (layer % 2 == 1) return {};  // the usual attention
    return MeanAttention(usual.width);
  };
  cp::VisionTransformer tower(options);
  const auto images = torch::rand({2, 3, 32, 32});
  const auto before = tower(images);
  tower->apply([](torch::nn::Module& module) {
    auto* layer = module.as<cp::ParametrizedModule>();
    if (layer == nullptr) return;
    for (const auto& name : layer->weight_names())
      layer->parametrize(name, "mask", RowMask(layer->named_parameters()[name]));
  });
  REQUIRE_FALSE(at::allclose(tower(images), before));
}

/// Contrastive loss of the rows alone: each image must find its text.
struct ImageToText {
  at::Tensor operator()(const cp::Embeddings& e) const {
    const auto logits = e.scale * e.x.mm(e.y.t());  // [B, B]
    return at::cross_entropy_loss(logits, at::arange(e.x.size(0), e.x.options().dtype(at::kLong)));
  }
};
static_assert(cp::ContrastiveLoss<ImageToText>);

TEST_CASE("A user's loss is one half of InfoNCE", "[docs][cpu]") {
  const auto rows = [] { return torch::nn::functional::normalize(torch::randn({6, 4})); };
  const cp::Embeddings e{rows(), rows(), torch::tensor(10.0), {}};
  const cp::Embeddings swapped{e.y, e.x, e.scale, {}};
  const double half = (ImageToText{}(e) + ImageToText{}(swapped)).item<double>() / 2;
  REQUIRE(half == Approx(cp::InfoNce{}(e).item<double>()).epsilon(1e-6));
}

/// Cross-entropy of a classifier; the labels come from the batch.
struct Logits {
  at::Tensor values;  // [B, classes]
};
struct Classification {
  static constexpr bool kSeparable = true;  // a mean over samples in which no sample meets another
  at::Tensor operator()(const Logits& logits, const cp::Batch& batch) const {
    return at::cross_entropy_loss(logits.values, batch.at("label"));
  }
};
static_assert(cp::LossOf<Classification, Logits>);

// snippet: loss over ranks
/// InfoNCE with label smoothing: the positive has 1 - s, and all candidates share s. The mean of a
/// row's logits is the logit of the mean candidate, so the [N, N] matrix is never built.
struct SmoothedInfoNce {
  double smoothing = 0.1;
  cp::Ranks of = {};
  at::Tensor operator()(const cp::Embeddings& e) const {
    const auto sums = cp::pairwise_logsumexp(e.x, e.y, e.scale, {.columns = false}, of);
    const auto mean = cp::gather_with_gradient(of, e.y).rows.mean(0);  // of all ranks, [D]
    const auto target =
        (1 - smoothing) * sums.positives + smoothing * e.scale * e.x.mv(mean);  // [B] of this rank
    const auto share = (sums.rows - target).sum() / static_cast<double>(sums.pairs);
    return cp::all_reduce_value(share, of);
  }
  const cp::Ranks& ranks() const { return of; }
};
// snippet end

struct StudentAndTeacher {
  cp::Embeddings student, teacher;
};

/// Both models read the same batch. The teacher's weights need no gradient, so it runs once.
cp::StepModel<StudentAndTeacher> distillation_model(const cp::DualEncoder& student,
                                                    const cp::DualEncoder& teacher,
                                                    at::Device device) {
  for (auto& weight : teacher->parameters()) weight.set_requires_grad(false);
  const auto s = cp::pair_step_model(student, device), t = cp::pair_step_model(teacher, device);
  return {.encoders = {s.encoders[0], s.encoders[1], t.encoders[0], t.encoders[1]},
          .head =
              [s, t](const std::vector<cp::Features>& f, const cp::Batch& batch) {
                return StudentAndTeacher{s.head({f[0], f[1]}, batch), t.head({f[2], f[3]}, batch)};
              },
          .parameters = s.parameters,
          .buffers = s.buffers};
}

struct Distillation {
  cp::LossTerms operator()(const StudentAndTeacher& e) const {
    const auto& [s, t] = e;
    const auto targets = (t.scale * t.x.mm(t.y.t())).softmax(1);  // [B, B]
    const auto soft = -(targets * (s.scale * s.x.mm(s.y.t())).log_softmax(1)).sum(1).mean();
    return {cp::InfoNce{}(s) + soft, {{"soft", soft}}};
  }
};

TEST_CASE("The losses and the step model of a user train", "[docs][cpu]") {
  const auto rows = [] { return torch::nn::functional::normalize(torch::randn({6, 4})); };
  const cp::Embeddings e{rows(), rows(), torch::tensor(10.0)};
  CHECK(SmoothedInfoNce{.smoothing = 0.0}(e).item<double>() ==
        Approx(ImageToText{}(e).item<double>()).epsilon(1e-5));
  CHECK(SmoothedInfoNce{}(e).item<double>() != SmoothedInfoNce{.smoothing = 0.0}(e).item<double>());

  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({8, 3, 32, 32})},
                   {"text", torch::randint(300, {8, 5})},
                   {"label", torch::arange(8)}};
  cp::DualEncoder student{MeanTower(), BagOfTokens()}, teacher{MeanTower(), BagOfTokens()};
  cp::GradCache distill(distillation_model(student, teacher, torch::kCPU), Distillation{},
                        {.chunk_size = 3});
  CHECK(distill(batch).parts.front().first == "soft");
  CHECK(student->logit_scale.grad().defined());
  CHECK_FALSE(teacher->logit_scale.grad().defined());

  MeanTower tower;
  cp::StepModel<Logits> classifier{
      .encoders = {{"image",
                    [tower](const at::Tensor& x) mutable -> cp::Features { return tower(x); }}},
      .head = [](const std::vector<cp::Features>& f,
                 const cp::Batch&) { return Logits{f[0].tensors[0]}; },
      .parameters = tower->parameters()};
  cp::Accumulator step(classifier, Classification{}, {.micro_batch = 3});
  CHECK(step(batch).total.item<double>() > 0.0);
}

TEST_CASE("A teacher of a user reads images and texts of its own", "[docs][cpu]") {
  const auto source =
      std::make_shared<cp::SyntheticShapes>(cp::SyntheticShapesOptions{.samples = 64});
  const cp::Tokenizer tokenizer = cp::ByteTokenizer({.context_length = 16});
  const cp::Tokenizer their_tokenizer = cp::ByteTokenizer({.context_length = 40});
  const cp::DualEncoder student{MeanTower(), BagOfTokens()};
  MeanTower their_images;
  BagOfTokens their_texts;
  // snippet: callable_teacher
  // The same crop of each image and the same caption, as the teacher reads them.
  cp::DataLoader loader(source, cp::ImageTransform({.image_size = 32, .train = true}),
                        tokenizer.encode,
                        {.batch_size = 16,
                         .image_readings = {{.name = "teacher_image", .image_size = 48}},
                         .text_readings = {{"teacher_text", their_tokenizer.encode}}});
  const cp::Teacher teacher = cp::callable_teacher(
      [=](const at::Tensor& bytes) mutable { return their_images(bytes / 255.0); },  // [b, D]
      [=](const at::Tensor& tokens) mutable { return their_texts(tokens); },         // [b, D]
      {.scale = 100.0, .inputs = {.x_input = "teacher_image", .y_input = "teacher_text"}});
  // snippet end
  cp::GradCache compute_gradients(
      cp::with_teachers(
          cp::pair_step_model(student, torch::kCPU,
                              {.prepare_x = [](const at::Tensor& x) { return x / 255.0; }}),
          {teacher}),
      cp::AffinityLoss(), {.chunk_size = 6});
  loader.start_epoch(0);
  const auto batch = loader.next();
  REQUIRE(batch.has_value());
  CHECK(batch->at("teacher_image").sizes() == at::IntArrayRef{16, 3, 48, 48});
  const auto terms = compute_gradients(*batch);
  CHECK(std::isfinite(terms.total.item<double>()));
  CHECK(student->logit_scale.grad().defined());
  CHECK_FALSE(their_images->project->weight.grad().defined());
}

struct InverseSquareRoot {
  double peak_lr = 5e-4;
  double operator()(std::int64_t step) const {
    return peak_lr / std::sqrt(static_cast<double>(step + 1));
  }
};
static_assert(cp::Schedule<InverseSquareRoot>);

TEST_CASE("A user's schedule is a function of the step", "[docs][cpu]") {
  REQUIRE(InverseSquareRoot{.peak_lr = 1.0}(3) == 0.5);
}

/// Solid colors: sample i is gray level i.
class GrayLevels : public cp::SampleSource {
 public:
  std::int64_t size() const override { return 256; }
  cp::EncodedSample read(std::int64_t index) const override {
    cp::RgbImage image(8, 8);
    std::fill_n(image.row(0), 8 * 8 * 3, static_cast<std::uint8_t>(index));
    cp::EncodedSample sample;
    sample.key = "gray-" + std::to_string(index);
    sample.image = cp::encode_ppm(image);
    sample.captions = {"gray level " + std::to_string(index)};
    return sample;
  }
};

TEST_CASE("A user's source feeds the loader", "[docs][cpu]") {
  const cp::ByteTokenizer bytes({.context_length = 32});
  cp::DataLoader loader(std::make_shared<GrayLevels>(), cp::ImageTransform({.image_size = 8}),
                        [&](std::string_view text) { return bytes.encode_with_specials(text); },
                        {.batch_size = 64, .threads = 2, .train = false});
  loader.start_epoch(0);
  std::int64_t samples = 0;
  while (const auto batch = loader.next()) samples += batch->size();
  REQUIRE(samples == 256);
}

TEST_CASE("Options can be given by the name of any one member", "[docs][cpu]") {
  // Compiled with -Wextra -Werror: a member without a default would be a warning in user code.
  [[maybe_unused]] const auto first_and_last =
      std::tuple{cp::BpeTokenizerOptions{.context_length = 8},
                 cp::ByteTokenizerOptions{.context_length = 8},
                 cp::ByteTokenizerOptions{.lower_case = false},
                 cp::EncodedSample{.key = "a"},
                 cp::EncodedSample{.label = 1},
                 cp::ImageTransformOptions{.image_size = 8},
                 cp::ImageTransformOptions{.grayscale_probability = 0.5},
                 cp::LoaderOptions{.batch_size = 8},
                 cp::LoaderOptions{.on_skip = {}},
                 cp::SourceOptions{.caption_fields = {"text"}},
                 cp::ShardSourceOptions{.caption_fields = {"text"}},
                 cp::CsvSourceOptions{.label_column = "class"},
                 cp::FolderSourceOptions{.caption_templates = {"a {}"}},
                 cp::SourceOptions{.synthetic = {}},
                 cp::SyntheticShapesOptions{.samples = 8},
                 cp::SyntheticShapesOptions{.noise = 0},
                 cp::CurvesOptions{.title = "a"},
                 cp::CurvesOptions{.gnuplot = "gnuplot"},
                 cp::ProgressLineOptions{.total_steps = 8},
                 cp::ProgressLineOptions{.clock = {}},
                 cp::AttentionOptions{.width = 8},
                 cp::AttentionOptions{.out_proj_std = 0.1},
                 cp::AttentionPoolOptions{.width = 8},
                 cp::AttentionPoolOptions{.layer_norm_eps = 1e-6},
                 cp::AttentionPool2dOptions{.grid = 8},
                 cp::AttentionPool2dOptions{.output_dim = 8},
                 cp::LinearOptions{.in_features = 8},
                 cp::LinearOptions{.zero_bias = true},
                 cp::MlpOptions{.width = 8},
                 cp::MlpOptions{.zero_bias = true},
                 cp::ResidualAttentionBlockOptions{.attention = {}},
                 cp::ResidualAttentionBlockOptions{.layer_norm_eps = 1e-6},
                 cp::AdamWRule{.beta1 = 0.9},
                 cp::AdamWRule{.eps = 1e-6},
                 cp::EmaOptions{.decay = 0.9},
                 cp::EmaOptions{.warmup_power = 1.0},
                 cp::ParameterGroup{.name = "a"},
                 cp::ParameterGroup{.lr_multiplier = 1.0},
                 cp::PlanFinding{.message = "a"},
                 cp::ModelFacts{.name = "a"},
                 cp::WeightsFacts{.quick_gelu = false},
                 cp::LossScalerOptions{.initial_scale = 8},
                 cp::LossScalerOptions{.growth_interval = 8},
                 cp::RunLength{.dataset_samples = 8},
                 cp::RunLength{.total_steps = 8},
                 cp::WarmupConstantOptions{.peak_lr = 1},
                 cp::WarmupConstantOptions{.warmup_steps = 1},
                 cp::WarmupConstantCooldownOptions{.peak_lr = 1},
                 cp::WarmupConstantCooldownOptions{.power = 1},
                 cp::WarmupCosineOptions{.peak_lr = 1},
                 cp::WarmupCosineOptions{.total_steps = 1},
                 cp::DualEncoderOptions{.initial_logit_scale = 1},
                 cp::DualEncoderOptions{.initial_logit_bias = 1},
                 cp::ModelConfig{.name = "a"},
                 cp::ModelConfig{.resize_mode = cp::ResizeMode::kSquash},
                 cp::ModifiedResNetOptions{.image_size = 32},
                 cp::ModifiedResNetOptions{.output_dim = 8},
                 cp::TextTransformerOptions{.context_length = 8},
                 cp::TextTransformerOptions{.layer_norm_eps = 1e-6},
                 cp::VisionTransformerOptions{.image_size = 8},
                 cp::VisionTransformerOptions{.patch_dropout = 0.1},
                 cp::Embeddings{.x = {}},
                 cp::Embeddings{.bias = {}},
                 cp::StepRecord{.step = 1},
                 cp::StepRecord{.values = {{"loss", 1.0}}},
                 cp::Batch{.keys = {}},
                 cp::State{.scalars = {}}};
  SUCCEED();
}

TEST_CASE("The step strategies of the guide to large batches run", "[docs][cpu]") {
  cp::DualEncoder model{MeanTower(), BagOfTokens()};
  const at::Device device(at::kCPU);
  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({8, 3, 32, 32})}, {"text", torch::randint(300, {8, 5})}};
  // snippet: step strategy
  const cp::StepModel<> parts = cp::pair_step_model(model, device);
  cp::FullBatch whole(parts, cp::TiledInfoNce());
  cp::GradCache cached(parts, cp::TiledInfoNce(), {.chunk_size = 2});
  cp::Accumulator accumulated(parts, cp::TiledInfoNce(), {.micro_batch = 2});

  const cp::LossTerms loss = cached(batch);  // the gradients are now in the parameters
  // snippet end
  const auto gradient = model->logit_scale.grad().clone();
  model->zero_grad();
  whole(batch);
  CHECK(torch::allclose(gradient, model->logit_scale.grad(), 1e-4));
  model->zero_grad();
  accumulated(batch);
  CHECK(torch::allclose(gradient, model->logit_scale.grad(), 1e-4));
  CHECK(loss.total.item<double>() > 0.0);
}
